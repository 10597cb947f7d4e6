/* feedback - what clients say of their last jobs, and how far that is believed.
 *
 * It comes sooner than a report of the node, but from anybody: clients may be wrong, lie, or forge the address that they come from. So
 * it moves a node's finish time a little and never takes a node out: one client's word counts for a job of the node's a second, that of
 * several for FEEDBACK_JOBS_MANY, and all together for no more than half of the time that passes. The node's next report replaces what
 * they said.
 * Of a node that does not say how long its jobs take (NO_ECHO), the latencies of those that went well are an estimate: the time that is
 * believed goes a step of 9 % towards each, so that it settles near their median, whatever a few clients claim: where several speak,
 * none has two steps behind each other. It is forgotten when nobody has been sent there for a while (finish_time.c).
 * Thread: control; values are read by the cores. Memory: the caller's; all zeroes is a new track. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/policy/values.h"

#define FEEDBACK_WINDOW_NS UINT64_C(1000000000)
#define FEEDBACK_JOBS_ONE 1u /* a window, while all is one client's word */
#define FEEDBACK_JOBS_MANY 8u
#define FEEDBACK_SHARE 0.5f /* of the window at most */
#define FEEDBACK_STEPS_ONE 4u /* likewise, of the time that jobs take */
#define FEEDBACK_STEPS_MANY 64u

enum feedback_outcome {
    FEEDBACK_OK,
    FEEDBACK_FAILED,
    FEEDBACK_TIMEOUT,
    FEEDBACK_OUTCOMES,
};

struct feedback {
    uint32_t client; /* feedback_client */
    uint32_t ordinal; /* the job was one of the node's k-th service; VALUES_SERVICES_MAX: of one that it does not offer */
    float latency_s;
    enum feedback_outcome outcome;
};

/* Of one node. */
struct feedback_track {
    uint64_t window_ns; /* when it began */
    uint32_t client; /* the first of the window */
    uint32_t client_last; /* whose word the job time went by last */
    uint8_t several; /* another one has spoken */
    uint8_t jobs; /* by which the finish time was moved in this window */
    uint8_t steps;
    uint8_t moved; /* by so much of the window, in 256ths */
};

/* What stands for a client: its IP address, of IPv6 its /64, of which one host has as many addresses as it likes. */
uint32_t feedback_client(const struct address *address);

/* False: ignored, since enough was heard of this node, or since it says nothing that is not known better. */
bool feedback_apply(struct node_values *values, struct feedback_track *track, const struct feedback *feedback, uint64_t now_ns);
