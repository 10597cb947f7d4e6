/* The end of a flush: beats that have expired leave the store, in portions.
 *
 * What a portion is can only be told by a score, since names may have been written anew by another rm meanwhile: so first the score of the
 * last one of the portion is asked for, then what is below that score is taken out. Only when the whole portion has the same score does it
 * take out all that have it, however many: as many as rm took in within a millisecond. */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/check.h"
#include "rm/mirror_internal.h"

/* Of a flush; what is left then waits for the next one. */
#define PORTIONS_MAX 256u

static void on_answer(void *ctx, const struct redisReply *reply);

static void step_send(struct mirror *mirror)
{
    char bound[MIRROR_SCORE_BYTES];
    uint16_t region = mirror->config.region;
    mirror_expiry_bound(mirror_redis_now_ms(mirror), mirror->config.cluster->config.valid_ns / NS_PER_MS, bound);
    switch (mirror->expiry) {
    case MIRROR_EXPIRY_LOOK: mirror_beats_look(region, bound, &mirror->command); break;
    case MIRROR_EXPIRY_BELOW: mirror_beats_expire(region, mirror->expiry_score, &mirror->command); break;
    case MIRROR_EXPIRY_TIES: mirror_beats_expire(region, mirror->expiry_score + 1, &mirror->command); break;
    case MIRROR_EXPIRY_REST: mirror_beats_expire(region, bound, &mirror->command); break;
    default: CHECK(false);
    }
    uint32_t calls = mirror->calls;
    mirror_flush_send(mirror, on_answer);
    if (mirror->calls == calls) {
        mirror->expiry = MIRROR_EXPIRY_DONE; /* it could not be sent */
        mirror_flush_look(mirror);
    }
}

static void portion_end(struct mirror *mirror)
{
    mirror->expiry = MIRROR_EXPIRY_LOOK;
    if (++mirror->expiry_portions < PORTIONS_MAX)
        mirror_flush_continue(mirror);
    else
        mirror->expiry = MIRROR_EXPIRY_DONE;
}

/* [node, score], or []. */
static void look_take(struct mirror *mirror, const struct redisReply *reply)
{
    mirror->expiry = MIRROR_EXPIRY_REST;
    if (redis_reply_count(reply) == 2) {
        snprintf(mirror->expiry_score, sizeof(mirror->expiry_score), "(%.32s",
                 redis_reply_text(redis_reply_item(reply, 1), NULL));
        mirror->expiry = MIRROR_EXPIRY_BELOW;
    }
    step_send(mirror);
}

static void below_take(struct mirror *mirror, const struct redisReply *reply)
{
    if (redis_reply_number(reply) > 0) {
        portion_end(mirror);
        return;
    }
    mirror->expiry = MIRROR_EXPIRY_TIES;
    step_send(mirror);
}

static void on_answer(void *ctx, const struct redisReply *reply)
{
    struct mirror *mirror = ctx;
    if (!mirror_flush_answered(mirror, reply)) {
        mirror->expiry = MIRROR_EXPIRY_DONE;
        if (reply)
            mirror_flush_look(mirror);
        return;
    }
    switch (mirror->expiry) {
    case MIRROR_EXPIRY_LOOK: look_take(mirror, reply); break;
    case MIRROR_EXPIRY_BELOW: below_take(mirror, reply); break;
    case MIRROR_EXPIRY_TIES: portion_end(mirror); break;
    default: mirror->expiry = MIRROR_EXPIRY_DONE;
    }
    mirror_flush_look(mirror);
}

void mirror_expire(struct mirror *mirror)
{
    mirror->expiry = MIRROR_EXPIRY_LOOK;
    step_send(mirror);
}
