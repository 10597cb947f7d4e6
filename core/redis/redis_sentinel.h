/* redis_sentinel - asks Redis Sentinels which server is the master now.
 *
 * One question goes to one sentinel after the other, beginning with the one that answered last, until one names a master; each has
 * REDIS_SENTINEL_DEADLINE_NS. What they name may still be wrong for a moment (a sentinel that is cut off believes in the old master), so
 * who connects there asks it for its ROLE.
 * Thread: the loop's. Memory: redis_sentinel_new … redis_sentinel_free. Nothing blocks.
 * Source: redis.io, "Guidelines for Redis clients with support for Redis Sentinel". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "core/redis/redis_target.h"

#define REDIS_SENTINEL_DEADLINE_NS UINT64_C(100000000)

struct redis_sentinel;

struct redis_sentinel_config {
    struct loop *loop;
    const struct redis_target *target; /* of kind REDIS_TARGET_SENTINEL; copied */
    /* Once for each question. master NULL: nobody named one, for this reason. */
    void (*on_answer)(void *ctx, const struct address *master, const char *reason);
    void *ctx;
    uint64_t seed;
};

/* -ENOMEM. */
NODISCARD int redis_sentinel_new(const struct redis_sentinel_config *config, struct redis_sentinel **ret_sentinel);
void redis_sentinel_free(struct redis_sentinel *sentinel); /* NULL is a no-op; on_answer is not called any more */

/* Asks; while a question is under way nothing else happens. on_answer comes from the loop, never from within. */
void redis_sentinel_ask(struct redis_sentinel *sentinel);

/* The master that was named is of no use: the next question goes to another sentinel first. */
void redis_sentinel_doubt(struct redis_sentinel *sentinel);

bool redis_sentinel_is_asking(const struct redis_sentinel *sentinel);
