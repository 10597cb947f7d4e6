/* mirror_load - reads from Redis what an earlier rm, or another one of the region, left there, in portions, so that neither rm nor Redis
 * stands still for long.
 *
 * Thread: the control loop's. Memory: a member of its owner; it must stay until on_done was called or the connection is freed.
 * Nothing blocks. */
#pragma once

#include "core/redis/redis_connection.h"
#include "core/redis/redis_keys.h"
#include "rm/cluster.h"

struct mirror_load {
    struct loop *loop;
    struct redis_connection *connection;
    struct cluster *cluster;
    uint16_t region;
    int64_t clock_offset_ms; /* Redis TIME minus rm's monotonic clock */
    uint32_t step;
    uint32_t unreadable; /* entries passed over */
    uint32_t words_adopted; /* of operators, that were news */
    void (*on_done)(void *ctx, int error);
    void *ctx;
};

/* All fields but step and what it counts are set. on_done: 0; -ECONNRESET the connection broke; -EPROTO Redis refused, or answered
 * something else than asked; -ENOMEM. What was read is in the cluster, to be listed by cluster_restore_commit. */
void mirror_load_begin(struct mirror_load *load);

/* The same for operators' words alone. */
void mirror_load_words_begin(struct mirror_load *load);

/* One of these, as it stands there. False: it is no word, or it was not taken; ret_adopted is true when it was news. */
bool mirror_load_word(struct cluster *cluster, struct cluster_time now, const struct address *address, const char *value,
                      size_t length, bool *ret_adopted);
