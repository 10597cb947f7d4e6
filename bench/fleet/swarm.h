/* swarm - the nodes that bench-fleet plays: who they are, what their next datagram says, what an acknowledgement means to them.
 *
 * A node registers, heartbeats once that was acknowledged, and registers again when it is told to, as core/node does. Its load wanders,
 * and its metadata go with it. Addresses are distinct ones in 10.0.0.0/8.
 * Invariant: the same seed and the same calls give the same nodes; a node's sequence only grows.
 * Thread: one owner. Memory: swarm_init … swarm_done. Pure: time is handed in. Nothing blocks. */
#pragma once

#include <stdbool.h>

#include "core/base/histogram.h"
#include "core/base/random.h"
#include "core/wire/heartbeat.h"

struct swarm_config {
    uint32_t node_count;
    uint32_t service_count;
    uint32_t services_per_node; /* fewer where there are fewer services */
    uint64_t seed;
};

struct swarm_node {
    uint64_t sent_ns; /* its last datagram */
    uint32_t serial; /* its address, and what it is like */
    uint32_t sequence; /* of its last datagram */
    float load; /* share of its slots in use; above 1: jobs wait */
    uint32_t jobs; /* done so far */
    bool registered; /* rm knows the names of its services */
    bool unanswered; /* its last datagram is */
};

/* Counted since swarm_count_anew. */
struct swarm_stats {
    uint64_t registers; /* sent */
    uint64_t heartbeats; /* sent */
    uint64_t acks; /* of a node's last datagram, in time */
    uint64_t acks_late; /* after the node had sent its next one */
    uint64_t lost; /* datagrams whose node had to send the next one without an acknowledgement */
    uint64_t errors; /* ERRORs, and what made no sense */
    uint64_t changes; /* nodes replaced */
    struct histogram ack_us; /* from sending to the acknowledgement */
};

struct swarm {
    struct swarm_config config;
    struct random_state random;
    struct swarm_node *nodes;
    uint32_t *order; /* who beats when: no machine's heartbeats come sorted */
    uint32_t next_serial;
    uint32_t registered_count;
    uint64_t *service_ids;
    uint32_t dispatcher_total; /* as rm says */
    uint32_t dispatcher_count; /* those whose boot IDs are known: nodes echo what they got from them */
    uint64_t dispatchers[ECHOES_MAX];
    struct wire_heartbeat heartbeat; /* of the node that speaks: most of it is the same for all */
    struct swarm_stats stats;
};

/* -ENOMEM. */
NODISCARD int swarm_init(struct swarm *swarm, const struct swarm_config *config);
void swarm_done(struct swarm *swarm);

/* The n-th to speak in each interval, n < node_count. */
static inline uint32_t swarm_speaker(const struct swarm *swarm, uint32_t n)
{
    return swarm->order[n];
}

/* What the node sends now: a REGISTER, or a HEARTBEAT with a load that has moved since. Returns its length; bytes has room for
 * DATAGRAM_BYTES_MAX. */
uint32_t swarm_speak(struct swarm *swarm, uint32_t index, uint64_t now_ns, uint64_t wall_ms, uint8_t *bytes);

/* A datagram from rm. Returns the node that should heartbeat at once, since its REGISTER has been acknowledged, or UINT32_MAX. */
uint32_t swarm_hear(struct swarm *swarm, const uint8_t *bytes, uint32_t length, uint64_t now_ns);

/* A node falls silent for good, and another one takes its place. */
void swarm_replace(struct swarm *swarm);

void swarm_count_anew(struct swarm *swarm);

/* Its next load, without a datagram; *ret_address: of the node. */
float swarm_wander(struct swarm *swarm, uint32_t index, struct address *ret_address);
