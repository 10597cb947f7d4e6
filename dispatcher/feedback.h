/* feedback - takes what clients say of their last jobs from the answering cores to the control thread, which alone knows where a node's
 * values are and how much was said of it before (core/policy/feedback.h).
 *
 * Each core has a box. What finds it full is ignored, so that no flood costs more than FEEDBACK_NOTES_MAX notes of each core every
 * FEEDBACK_PAUSE_NS; nothing wakes the control thread while nobody says anything.
 * Thread: feedback_note on the core whose box it is; all else on the control thread.
 * Memory: feedback_desk_new allocates; the desk stays until every core has been stopped. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "core/io/timer.h"
#include "core/policy/feedback.h"
#include "core/wire/address_path.h"
#include "dispatcher/directory.h"
#include "dispatcher/post_box.h"

#define FEEDBACK_NOTES_MAX 256u
#define FEEDBACK_PAUSE_NS UINT64_C(10000000)

struct feedback_desk {
    struct loop *loop;
    const struct directory *directory;
    struct counters *counters;
    struct feedback_track *tracks; /* by slot */
    struct timer timer;
    uint32_t box_count;
    struct post_box boxes[PUBLICATION_READERS_MAX]; /* by core */
};

/* counters: the control thread's. -ENOMEM. */
NODISCARD int feedback_desk_new(struct loop *loop, const struct directory *directory, struct counters *counters,
                                uint32_t core_count, struct feedback_desk **ret_desk);
void feedback_desk_free(struct feedback_desk *desk); /* NULL is a no-op */

/* `request` has feedback; it came from `peer`. Counters are the core's. */
void feedback_note(struct post_box *box, const struct wire_address_request *request, const struct address *peer,
                   struct counters *counters);
