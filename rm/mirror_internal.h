/* mirror_internal - what mirror.c (the connection, and looking after the store) and mirror_flush.c (writing what has changed) share.
 * Thread: the control loop's. */
#pragma once

#include "core/base/clock.h"
#include "core/io/timer.h"
#include "core/redis/redis_connection.h"
#include "rm/mirror.h"
#include "rm/mirror_batch.h"
#include "rm/mirror_load.h"
#include "rm/mirror_order.h"

struct mirror {
    struct mirror_config config;
    struct redis_connection *connection;
    struct redis_command command;
    struct mirror_load load;
    struct timer flush_timer;
    struct timer pump_timer; /* the flush goes on in the next turn of the loop */
    struct timer check_timer;
    struct timer words_timer;
    uint64_t words_began_ns;
    int64_t clock_offset_ms; /* Redis TIME minus our monotonic clock */
    uint64_t time_asked_ns;
    bool ready; /* connected, the clocks compared, and loaded */
    bool loaded;
    bool loading; /* all, or operators' words */
    bool flushing;
    bool expire_sent; /* the flush's last command */
    bool refused; /* this flush met an error reply */
    bool was_refused; /* the one before did */
    bool finishing; /* without pauses */
    uint32_t flush_nodes; /* of the flush in progress, or the last one */
    uint32_t flush_left; /* of these, still to be taken */
    uint32_t metadata_left; /* fresh nodes whose metadata this flush may still write */
    struct mirror_order loads; /* of those taken, for the second half of the flush */
    uint32_t calls; /* of the flush, unanswered */
    uint64_t flush_started_ns;
    uint64_t flush_ended_ns; /* of the last complete one; 0: none */
    uint64_t flush_count;
    uint32_t flush_fresh; /* fresh nodes when the flush began */
    uint32_t
        mirrored_fresh; /* likewise, of the last complete one: so many beats stand there at least, but for those expired since */
    char refusal[REDIS_REASON_BYTES];
};

static inline uint64_t mirror_now_ns(const struct mirror *mirror)
{
    return loop_now_ns(mirror->config.loop);
}

static inline int64_t mirror_redis_now_ms(const struct mirror *mirror)
{
    return mirror->clock_offset_ms + (int64_t)(mirror_now_ns(mirror) / NS_PER_MS);
}

/* Writes all that is dirty now, then schedules the next flush. */
void mirror_flush_begin(struct mirror *mirror);

/* The next flush, after one that took so long. */
void mirror_flush_schedule(struct mirror *mirror, uint64_t took_ns);

/* The next batch of the flush in progress, when its time comes. */
void mirror_flush_continue(struct mirror *mirror);

void mirror_on_flush(void *ctx, struct timer *timer);
void mirror_on_pump(void *ctx, struct timer *timer);
