/* mirror_batch - what a few nodes that have changed become in Redis: the commands, without the connection.
 *
 * A batch is taken from the cluster's list of changes not yet mirrored, and turned into at most one command per kind. Each node goes
 * as it is then, so the newest value always wins, and a slow Redis costs no memory: a node waits once, however often it changes.
 * Thread: the control loop's. Memory: none of its own. Pure; nothing blocks. */
#pragma once

#include "core/redis/redis_command.h"
#include "core/redis/redis_keys.h"
#include "rm/cluster.h"
#include "rm/mirror_order.h"

#define MIRROR_BATCH_NODES 200u /* ≤ 500 members a command, and ≤ 1 ms of work at a time */

/* How often a node's metadata are written when nothing but numbers in them changes: at most twice a second, and in large clusters so
 * rarely that it takes a fiftieth of rm's time, at 10 µs each. */
#define MIRROR_METADATA_INTERVAL_NS UINT64_C(500000000)
#define MIRROR_METADATA_NODE_NS UINT64_C(500000)

enum mirror_command {
    MIRROR_BEATS_ADD, /* R1: [address, timestamp] */
    MIRROR_LOADS_ADD, /* R1: [address, load] */
    MIRROR_LOADS_REMOVE, /* R2: the faulty leave the load set; beats go by score, see below */
    MIRROR_FAULTS_ADD, /* R2 */
    MIRROR_FAULTS_REMOVE, /* R4 */
    MIRROR_NODES_SET,
    MIRROR_ADMIN_SET,
    MIRROR_COMMANDS,
};

struct mirror_batch {
    const struct cluster *cluster;
    uint16_t region;
    int64_t clock_offset_ms; /* Redis TIME minus rm's monotonic clock */
    uint64_t now_ns;
    uint32_t slot[MIRROR_BATCH_NODES];
    uint8_t commands[MIRROR_BATCH_NODES]; /* mask of 1 << enum mirror_command: what the node is part of */
    uint32_t count;
    uint32_t metadata_count; /* of these, nodes whose metadata are written */
};

/* Takes up to `limit` nodes off the list, with the metadata of `metadata_max` fresh ones at most. They count as mirrored: if a command
 * is lost, changes_mark_all_dirty. */
void mirror_batch_take(struct cluster *cluster, uint16_t region, int64_t clock_offset_ms, uint64_t now_ns, uint32_t limit,
                       uint32_t metadata_max, struct mirror_batch *ret_batch);

/* Loads are not written with the rest, but noted, to be written in order when a flush that writes loads has taken all its nodes. Those for
 * which there is no memory stay in the batch. */
void mirror_batch_put_loads_off(struct cluster *cluster, struct mirror_batch *batch, struct mirror_order *loads);

/* The next ones noted, of the nodes that are still fresh; their loads as they are then. */
void mirror_batch_take_loads(const struct cluster *cluster, uint16_t region, struct mirror_order *loads,
                             struct mirror_batch *ret_batch);

/* False: the batch needs no command of this kind. */
bool mirror_batch_command(const struct mirror_batch *batch, enum mirror_command kind, struct redis_command *command);

/* Expired beats go by their score, so that one rm never removes what another has written since; and so many at a time, so that Redis is not
 * blocked for long however many expire together. */
#define MIRROR_EXPIRE_NODES 500u
#define MIRROR_SCORE_BYTES 40u

/* A bound as Redis takes it: all beats before this moment. */
void mirror_expiry_bound(int64_t redis_now_ms, uint64_t valid_ms, char bound[static MIRROR_SCORE_BYTES]);

/* Asks for the MIRROR_EXPIRE_NODESth beat below the bound: [node, score], or [] where there are fewer. */
void mirror_beats_look(uint16_t region, const char *bound, struct redis_command *command);

/* Takes out all beats up to the bound. */
void mirror_beats_expire(uint16_t region, const char *bound, struct redis_command *command);
