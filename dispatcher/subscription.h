/* subscription - the connection to the rm that this dispatcher follows: subscribes, asks every refresh interval, takes the full list on
 * joining, on a gap and every 30 s, and moves on to the next rm when one goes quiet (D9): within 4 × --refresh, 1 s at least and 3 s at most. So it
 * does when one has nothing but a list that is empty or older than ours, as long as it is not followed.
 *
 * While no rm answers, the directory stays as it was. Thread: control. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/random.h"
#include "core/conf/conf.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"
#include "dispatcher/directory.h"

struct subscription_config {
    struct loop *loop;
    struct directory *directory;
    struct counters *counters;
    struct conf_addresses rms; /* borrowed; at least one */
    struct address subscriber; /* this dispatcher's service address */
    uint64_t boot_id;
    uint16_t region;
    uint64_t refresh_ns; /* with push rm is asked every second even if this is longer */
    bool push;
};

struct subscription {
    struct subscription_config config;
    struct random_state random;
    struct stream *stream; /* NULL: not connected */
    struct timer timer; /* refresh while connected, else the next attempt */
    struct timer step; /* the directory has something to do */
    uint32_t rm_index; /* which of the rms */
    uint64_t retry_ns;
    uint64_t ask_ns; /* when to ask next */
    uint64_t asked_ns; /* first question that is still unanswered; 0: none */
    uint64_t full_ns; /* when the full list was last asked for; 0: the next question asks for it */
    bool full_coming; /* it was asked for, and its last part has yet to come */
    uint64_t request_id;
    uint64_t news_ns; /* when an rm last sent something of use; 0: never */
    bool following; /* has sent something of use since it was connected */
    bool lost_logged; /* since one was followed */
    bool refused_logged;
};

void subscription_start(struct subscription *subscription, const struct subscription_config *config);

/* Closes the connection; no more is taken in. */
void subscription_stop(struct subscription *subscription);

/* The directory may have something to do that no frame has brought. */
void subscription_directory_changed(struct subscription *subscription);

/* Text address of the rm it follows or tries. */
const struct address *subscription_rm(const struct subscription *subscription);
