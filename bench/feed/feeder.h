/* feeder - stands in for a resource manager towards dispatchers: hands its fleet to all that subscribe, in full and then in deltas every
 * 10 ms, and acknowledges their heartbeats, so that they run as they would under rm.
 *
 * Unlike rm it queues: a whole list, or a delta, is handed to the connection at once, so that what a dispatcher is fed with does not
 * depend on how fast it reads; one that is further behind than FEEDER_PENDING_MAX is dropped and counted. Without push the answer to a
 * question is the full list, or that nothing has changed.
 * Thread: the loop's. Memory: owns fleet and subscribers. Nothing blocks. */
#pragma once

#include "bench/feed/fleet.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"
#include "core/io/udp.h"

#define FEEDER_SUBSCRIBERS_MAX 64u
#define FEEDER_PENDING_MAX (512u << 20)

struct feeder_config {
    struct loop *loop;
    struct address listen;
    uint16_t region;
    uint32_t updates_per_s;
    double changes_per_s;
    struct fleet_config fleet;
};

struct feeder_stats {
    uint64_t updates; /* load reports made */
    uint64_t changes; /* nodes replaced */
    uint64_t frames; /* DELTAs with content, each sent to every subscriber */
    uint64_t lists; /* full lists sent */
    uint64_t heartbeats; /* acknowledged */
    uint64_t refused; /* frames that made no sense */
    uint64_t dropped; /* subscribers that were too slow */
    uint64_t late_max_ns; /* a tick after its time: more than a few ms and the load was not even */
};

struct feeder_subscriber {
    struct feeder *feeder;
    struct stream *stream; /* NULL: the place is free */
    bool push; /* has the list, and gets what changes */
    uint64_t request_id;
};

struct feeder {
    struct feeder_config config;
    struct fleet fleet;
    struct udp *udp;
    struct listener *listener;
    struct timer tick;
    uint64_t started_ns;
    uint64_t tick_ns; /* when the next one is due */
    uint64_t rm_id;
    uint64_t sequence; /* of the list */
    uint64_t ack_sequence;
    struct feeder_stats stats;
    struct feeder_subscriber subscribers[FEEDER_SUBSCRIBERS_MAX];
    uint8_t frame[DIRECTORY_PART_BYTES_MAX];
};

/* Opens one port for both transports. Errors of bind(2), -ENOMEM. */
NODISCARD int feeder_new(const struct feeder_config *config, struct feeder **ret_feeder);
void feeder_free(struct feeder *feeder); /* NULL is a no-op */
const struct address *feeder_address(const struct feeder *feeder);
uint32_t feeder_subscriber_count(const struct feeder *feeder);

/* acks.c: answers what nodes send over UDP. */
udp_datagram_function feeder_on_datagram;
