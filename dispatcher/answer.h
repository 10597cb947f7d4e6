/* answer - from a request in the queue to the bytes of its answer: the straight line that the product is about (D2 to D8).
 *
 * Requests are answered in batches: answer_prepare picks nodes for the usual ones all together (core/policy/policy.h says why), and
 * answer_encode writes one answer after the other.
 *
 * Pure: no system call, no lock, no allocation; time and randomness are handed in.
 * Thread: a context belongs to one core. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "core/policy/policy.h"
#include "core/wire/address_usual.h"
#include "dispatcher/request.h"
#include "dispatcher/view.h"

#define ANSWER_BYTES_MAX (60u << 10) /* a LOCATION with all dispatchers of all regions, over TCP */
#define ANSWER_BATCH_MAX PICK_BATCH_MAX

struct answer_context {
    /* For the core's life. */
    struct pick_state *picks;
    struct node_values *values;
    const struct request_queue *queue; /* whose requests are answered, for their excludes; NULL: none has any */
    struct counters *counters;
    uint64_t boot_id;
    uint16_t region;

    /* From answer_begin on. */
    enum policy policy;
    const struct view *view;
    struct wire_usual_reply reply;

    /* From answer_prepare on. */
    const struct request *first;
    struct pick_item items[ANSWER_BATCH_MAX]; /* by request; the result may also be what answer.c says */
};

/* Between publication_enter, which gave the view, and publication_leave. */
void answer_begin(struct answer_context *context, enum policy policy, const struct view *view);

/* The next requests that will be answered, in their order: at most ANSWER_BATCH_MAX. Drops those older than their wait. */
void answer_prepare(struct answer_context *context, const struct request requests[], uint32_t count, uint64_t now_ns);

/* Writes the answer to one of the requests prepared, ≤ request->limit bytes; returns its length, or 0 where there is none: the request
 * is older than its wait, or too short to get even an ERROR. */
uint32_t answer_encode(struct answer_context *context, const struct request *request, uint8_t *bytes);

/* Answers that have been written behind each other. */
struct answer_run {
    uint32_t count;
    uint32_t bytes;
    uint32_t limits; /* of their requests, together */
};

/* The same for the first of `count` prepared requests, as long as they are usual ones over TCP, of one connection, and there is room for
 * the limit of each. */
void answer_encode_run(struct answer_context *context, const struct request requests[], uint32_t count, uint8_t *bytes,
                       size_t room, struct answer_run *ret_run);
