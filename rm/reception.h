/* reception - the UDP side of rm: REGISTER and HEARTBEAT in, HEARTBEAT_ACK out.
 *
 * One datagram gets one at most, no longer than itself; replies and errors are never answered; what is refused is counted.
 * Thread: the control loop's. Memory: reception_new … reception_free. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "core/io/loop.h"
#include "rm/cluster.h"

struct reception;

struct reception_config {
    struct loop *loop;
    struct address listen;
    struct cluster *cluster;
    struct counters *counters;
    uint64_t rm_id;
    uint64_t boot_id; /* drawn at this start, as the nonce: sequences begin again with it */
    uint64_t nonce;
    uint16_t region;
    void (*on_change)(void *ctx); /* the cluster may have changed */
    void *ctx;
};

/* -EADDRINUSE and others of bind(2). */
NODISCARD int reception_new(const struct reception_config *config, struct reception **ret_reception);
void reception_free(struct reception *reception); /* NULL is a no-op */
/* What the node in this slot is told when it heartbeats, over whatever way. */
void reception_acknowledge(struct reception *reception, uint32_t slot, uint64_t acked_sequence,
                           struct wire_heartbeat_ack *ret_ack);

/* Counts what became of a message. */
void reception_count(struct reception *reception, enum cluster_verdict verdict);
struct address reception_address(const struct reception *reception);
