/* mirror - keeps what rm knows in Redis, where it survives a restart and other rm of the region find it (requirements R1, R2).
 *
 * Nobody waits for it: nodes that changed stand in the cluster's list and are written in batches, normally every 100 ms, more rarely
 * with thousands of nodes or when Redis is slow, up to three fifths of the valid time; one flush at a time, spread over this time. A Redis that
 * stops, breaks or forgets is written anew in full when it is back. At the first connection, what is there is read first; operators' words
 * at every connection and then every second, since other rm may write them too.
 * Thread: the control loop's. Memory: mirror_new … mirror_free. Blocks: mirror_finish alone, within its limit. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/io/loop.h"
#include "core/redis/redis_target.h"
#include "rm/cluster.h"

struct mirror;

struct mirror_config {
    struct loop *loop;
    struct cluster *cluster;
    struct counters *counters;
    struct redis_target target; /* anything but embedded */
    uint16_t region;
    uint64_t seed;
    void (*on_loaded)(void *ctx); /* once: what Redis held is in the cluster */
    void (*on_words)(void *ctx); /* what operators have told another rm is in the cluster */
    void *ctx;
};

/* Begins to connect. -ENOMEM. */
NODISCARD int mirror_new(const struct mirror_config *config, struct mirror **ret_mirror);
void mirror_free(struct mirror *mirror); /* NULL is a no-op */

/* The server has just been started: connect now. */
void mirror_hurry(struct mirror *mirror);

/* Writes what is not written yet, running the loop for at most limit_ns. */
void mirror_finish(struct mirror *mirror, uint64_t limit_ns);

/* Writes the operator's word for the node now. on_done comes once, from the loop, within 100 ms or so: whether Redis has confirmed it.
 * Negative: it can't be written now, and goes with what else is not written yet. */
NODISCARD int mirror_word_write(struct mirror *mirror, uint32_t slot, void (*on_done)(void *ctx, bool stored), void *ctx);

/* Reads the operator's word for the node, which another rm may just have written. on_done comes once, within 100 ms or so; what was news is in the
 * cluster then, whether there was any or not. Negative: it can't be read now. */
NODISCARD int mirror_word_read(struct mirror *mirror, const struct address *node, void (*on_done)(void *ctx), void *ctx);

bool mirror_is_up(const struct mirror *mirror);

/* The server that is written to, or was tried last: with sentinels, the master that they have named. */
const struct redis_target *mirror_server(const struct mirror *mirror);

/* What Redis says to what it refuses, until it has accepted everything once; "": it refuses nothing. */
const char *mirror_refusal(const struct mirror *mirror);

/* Why it is not up, or what it refuses, in one line. */
const char *mirror_reason(const struct mirror *mirror);

/* How long ago the last flush was complete; UINT64_MAX: never. */
uint64_t mirror_lag_ns(const struct mirror *mirror);
