/* feed - what one subscriber has been told of the list, and which frame it gets next (requirement D9).
 *
 * Nothing is queued: frames are made from the cluster as it is when the subscriber's stream has room, so that a slow reader costs no
 * memory and gets newer news. A full list goes by slots; what changes meanwhile comes in the delta behind it.
 *
 *     IDLE ──changes, with push; or a SUBSCRIBE──▶ DELTA: the changes since `told`, as many frames as it takes
 *     IDLE ──nothing known, another rm or epoch, too far behind, or 30 s since the last──▶ FULL: parts from `next_slot` on
 *
 * Invariant: when all frames made so far have been taken in, the subscriber has what `told` says.
 * Thread: the control loop's. Memory: none of its own. Nothing blocks; time comes as an argument. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/wire/directory.h"
#include "rm/cluster.h"

#define FEED_FULL_INTERVAL_NS UINT64_C(30000000000)

struct feed {
    uint64_t rm_id; /* ours */
    uint64_t epoch; /* of this process */
    uint64_t subscriber_boot;
    uint64_t request_id; /* of the last SUBSCRIBE: on everything that is sent */
    uint64_t told; /* sequence */
    uint64_t full_ns; /* when the last full list began */
    uint64_t full_sequence;
    uint32_t next_slot; /* of the full list in progress */
    bool subscribed; /* a SUBSCRIBE has come */
    bool push;
    bool full_wanted;
    bool full_running;
    bool answer_wanted; /* a SUBSCRIBE is unanswered: an answer is due even when nothing has changed */
};

void feed_init(struct feed *feed, uint64_t rm_id, uint64_t epoch);
void feed_subscribe(struct feed *feed, const struct wire_subscribe *subscribe, uint64_t request_id, uint64_t now_ns);

/* The next frame's length; 0: nothing is to be sent. bytes: room for DIRECTORY_PART_BYTES_MAX. */
uint32_t feed_next(struct feed *feed, const struct cluster *cluster, uint64_t now_ns, uint8_t *bytes);
