/* answer - from a request in the queue to the bytes of its answer: the straight line that the product is about (D2 to D8).
 *
 * Pure: no system call, no lock, no allocation; time and randomness are handed in.
 * Thread: a context belongs to one core. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "core/policy/policy.h"
#include "core/wire/limits.h"
#include "core/wire/refusal.h"
#include "dispatcher/view.h"

enum request_kind {
    REQUEST_ADDRESS,
    REQUEST_LOCATION,
    REQUEST_REFUSED, /* gets an ERROR, in its turn like any other */
};

/* An item of the request queue: one cache line, complete in itself, so that it may outlive the datagram it came in. */
struct request {
    uint64_t arrived_ns;
    uint64_t request_id;
    uint64_t service_id;
    struct address peer;
    uint32_t source; /* UDP: running number of the datagram; TCP: index of the connection */
    uint32_t generation; /* TCP: of the connection */
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

#define ANSWER_BYTES_MAX (60u << 10) /* a LOCATION with all dispatchers of all regions, over TCP */

struct answer_context {
    enum policy policy;
    struct pick_state *picks;
    const struct view *view;
    struct node_values *values;
    struct counters *counters;
    uint64_t boot_id;
    uint16_t region;
};

/* Writes the answer, ≤ request->limit bytes; returns its length, or 0 where there is none: the request is older than its wait, or too
 * short to get even an ERROR. */
uint32_t answer_encode(struct answer_context *context, const struct request *request, const struct address excludes[],
                       uint64_t now_ns, uint8_t *bytes);
