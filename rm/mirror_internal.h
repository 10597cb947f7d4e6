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

/* The end of a flush: expired beats go, a portion at a time. */
enum mirror_expiry {
    MIRROR_EXPIRY_AHEAD,
    MIRROR_EXPIRY_LOOK, /* asks for the score that ends the portion; then: */
    MIRROR_EXPIRY_BELOW, /* what is below that score goes; where there was nothing: */
    MIRROR_EXPIRY_TIES, /* what has that score: more than a portion arrived in the same millisecond */
    MIRROR_EXPIRY_REST, /* less than a portion was left */
    MIRROR_EXPIRY_DONE,
};

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
    uint64_t words_took_ns; /* the reading before; 0: none */
    int64_t clock_offset_ms; /* Redis TIME minus our monotonic clock */
    uint64_t time_asked_ns;
    bool ready; /* connected, the clocks compared, and loaded */
    bool loaded;
    bool loading; /* all, or operators' words */
    bool flushing;
    enum mirror_expiry expiry; /* as far as it is, its call unanswered unless a pause goes before it */
    uint32_t expiry_portions; /* of the flush */
    char expiry_score[MIRROR_SCORE_BYTES]; /* LOOK's answer, with room for a bracket before it */
    bool refused; /* this flush met an error reply */
    bool refusing; /* some flush did, or TIME, and no whole flush has been accepted since */
    bool time_refused;
    bool whole; /* this flush writes everything */
    bool whole_next;
    uint64_t whole_ns; /* when the last one began */
    bool words_missed; /* when operators' words were last read some were not there: that is told once */
    bool settled; /* a whole flush has ended since the server was new to us: what is counted there can be compared */
    uint32_t expected_beats; /* when they were last asked for */
    uint32_t expected_nodes;
    bool finishing; /* without pauses */
    uint32_t flush_nodes; /* of the flush in progress, or the last one */
    uint32_t flush_left; /* of these, still to be taken */
    uint32_t metadata_left; /* fresh nodes whose metadata this flush may still write */
    bool loads_now; /* this flush writes loads, in its second half */
    struct mirror_order loads; /* of those taken by it and, if it left loads out, by the one before */
    uint64_t pump_due_ns; /* when the last batch was due */
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

/* The next flush writes everything, as to a server that is new to us. */
void mirror_write_all(struct mirror *mirror);

/* Looks after the store: its clock, whether it still has what was written, faults to be forgotten. Every ten seconds. */
void mirror_check(struct mirror *mirror);

/* The next flush, after one that took so long. */
void mirror_flush_schedule(struct mirror *mirror, uint64_t took_ns);

/* The next batch of the flush in progress, when its time comes. */
void mirror_flush_continue(struct mirror *mirror);

/* When all else of a flush is written: the next portion of expired beats. */
void mirror_expire(struct mirror *mirror);

/* One of the flush's commands has been answered. False: the connection broke, or it was an error, which is noted. */
NODISCARD bool mirror_flush_answered(struct mirror *mirror, const struct redisReply *reply);

/* Redis refuses, for mirror->refusal: said once, until it has accepted a whole flush. */
void mirror_refusal_tell(struct mirror *mirror);

/* Sends mirror->command as one of the flush's. */
void mirror_flush_send(struct mirror *mirror, redis_on_reply *on_reply);

/* Ends the flush where nothing of it is left. */
void mirror_flush_look(struct mirror *mirror);

void mirror_on_flush(void *ctx, struct timer *timer);
void mirror_on_pump(void *ctx, struct timer *timer);
