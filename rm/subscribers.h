/* subscribers - the dispatchers that follow this rm over TCP: each gets the list and the region table, then what changes.
 *
 * Frames are made when a stream has room (feed.h), so a slow reader costs its outgoing buffer and nothing more. Changes go out
 * together, SUBSCRIBERS_PUSH_NS after the first of them.
 * A list is held back until Redis has been read, and one that might be a part of the whole from whoever has a list already: a
 * rm that has just started, or stood still, must not talk dispatchers out of nodes that have yet to heartbeat to it.
 * Thread: the control loop's. Memory: subscribers_new … subscribers_free. Nothing blocks. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/region_table.h"
#include "core/io/loop.h"
#include "rm/cluster.h"

#define SUBSCRIBERS_MAX 1024u
#define SUBSCRIBERS_PUSH_NS UINT64_C(5000000)
#define SUBSCRIBERS_PATIENCE_NS UINT64_C(5000000000)

struct subscribers;

struct subscribers_config {
    struct loop *loop;
    struct address listen;
    struct cluster *cluster;
    struct counters *counters;
    uint64_t rm_id;
    uint64_t epoch;
    uint16_t region;
    uint32_t connections_max; /* 1 … SUBSCRIBERS_MAX */
    uint64_t patience_ns; /* for a frame from its first byte to its last */
};

/* Listens. -EADDRINUSE and others of bind(2). */
NODISCARD int subscribers_new(const struct subscribers_config *config, struct subscribers **ret_subscribers);
void subscribers_free(struct subscribers *subscribers); /* NULL is a no-op */

struct address subscribers_address(const struct subscribers *subscribers);

/* Redis has been read, or given up for now: lists may go out. */
void subscribers_release(struct subscribers *subscribers);

/* The cluster may have changed. Cheap: call after every event. */
void subscribers_notify(struct subscribers *subscribers);

/* Sends the table to everybody who has another one. NULL: no regions are configured; those who have a table keep it.
 * -ENOMEM, -EMSGSIZE leave the old one in use. */
NODISCARD int subscribers_set_regions(struct subscribers *subscribers, const struct region_table *table);

uint32_t subscribers_count(const struct subscribers *subscribers);

/* Appends an object per subscriber to the array. */
void subscribers_list(const struct subscribers *subscribers, json_t *array);
