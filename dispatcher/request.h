/* request - what waits in a core's FIFO queue, and the way of the usual ones from a frame's bytes into it (D2, D3).
 *
 * Invariant: an item is complete in itself, so that it may outlive the datagram it came in.
 * Thread: the core's, which is both sides of the queue; its length may be asked for from any.
 * Memory: allocated in request_queue_init. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/address.h"
#include "core/base/spsc_queue.h"
#include "core/wire/limits.h"
#include "core/wire/refusal.h"

enum request_kind {
    REQUEST_ADDRESS,
    REQUEST_LOCATION,
    REQUEST_REFUSED, /* gets an ERROR, in its turn like any other */
};

/* One cache line. */
struct request {
    uint64_t arrived_ns;
    uint64_t request_id;
    uint64_t service_id;
    struct address peer;
    uint32_t source; /* UDP: running number of the datagram; TCP: index of the connection */
    uint32_t generation; /* TCP: of the connection; UDP: of this machine's addresses the one that was asked (udp_datagram_via) */
    uint32_t wait_ms; /* 0: no limit */
    uint16_t limit; /* bytes that the answer may have: UDP: those of the request */
    uint8_t kind; /* enum request_kind */
    uint8_t transport; /* enum frame_transport */
    uint8_t count; /* addresses asked for */
    uint8_t exclude_count;
    uint8_t error_code; /* REQUEST_REFUSED: enum wire_error_code */
    uint8_t refusal; /* REQUEST_REFUSED: enum refusal, for the text; REFUSAL_NONE: the code's own */
};
_Static_assert(REFUSALS <= UINT8_MAX, "a refusal fits into a request");
_Static_assert(sizeof(struct request) == CACHE_LINE_BYTES, "a request is one cache line");

struct request_queue {
    struct spsc_queue items; /* of struct request */
    struct address *excludes; /* EXCLUDES_MAX for each slot; few requests have any */
};

/* capacity: a power of two. -EINVAL, -ENOMEM: there is nothing to be done then. */
NODISCARD int request_queue_init(struct request_queue *queue, uint32_t capacity);
void request_queue_done(struct request_queue *queue); /* of zeroes, too */

/* Where the excludes of an item are. */
struct address *request_excludes(const struct request_queue *queue, const struct request *request);

/* Appends the requests with which `bytes` begin, as long as they are usual ones (core/wire/address_usual.h), at most requests_max, and
 * while there is room. Returns how many bytes they took, and how many they are: what comes next, if anything, is for others to judge.
 * `from` says of each whom it came from; over TCP also its limit. After every segment_bytes another source begins, with the next
 * number: joined datagrams; no request goes beyond such a border. */
uint32_t request_queue_take(struct request_queue *queue, const struct request *from, const uint8_t *bytes, uint32_t length,
                            uint32_t segment_bytes, uint32_t requests_max, uint32_t *ret_count);
