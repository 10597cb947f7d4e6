/* explain - which node a policy would pick right now, from what, by what it knew, and why: `usherctl pick --explain`.
 *
 * It is the pick itself, on a copy of all that picks change (values, tokens, the generator), so that it says what a pick would do, and
 * leaves everything as it was. (Of idle tokens it knows those of the snapshot's members; a core may have heard of a newer node.) Keys
 * come from the functions that the picks use.
 * Thread: any that may read snapshot and values; they may change meanwhile. Memory: the service's members' values (64 bytes each) are
 * copied for the time of the call. Cost: O(members of the service). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/policy.h"

enum explain_reason {
#define REASON(symbol, text) EXPLAIN_##symbol,
#include "core/policy/explain.def"
#undef REASON
    EXPLAIN_REASONS,
};

extern const char *const explain_reason_texts[EXPLAIN_REASONS];

enum explain_source {
    EXPLAIN_DRAWN, /* evenly, by weight, or its turn came */
    EXPLAIN_IDLE, /* one of the idle ones at hand */
    EXPLAIN_ANEW, /* not among those: found by the general case, or in turn */
};

#define EXPLAIN_NODES_MAX (PICK_CANDIDATES_MAX + TOKEN_SAMPLES + 1)

struct explained_node {
    uint32_t slot;
    uint32_t ordinal; /* the service is the node's k-th */
    enum explain_source source;
    bool qualifies; /* the policy may hand it out; of idle ones: their token still holds */
    bool chosen;
    bool has_key;
    float key; /* the smaller the better: expected load, or seconds */
    struct node_values known; /* before the pick */
};

struct explanation {
    enum policy policy;
    enum explain_reason reason;
    uint32_t slot; /* picked */
    uint32_t member_count; /* of the service */
    uint32_t idle_count; /* tokens at hand; services that share a ring count together, and those that hold no longer too */
    uint32_t dispatchers; /* finish-time: that decide in parallel */
    float age_s; /* finish-time: of what is known, on average */
    uint32_t node_count;
    struct explained_node nodes[EXPLAIN_NODES_MAX]; /* a node comes as often as it was drawn */
};

/* Explains what policy_pick_batch would do next with this state. USHER_ENOSERVICE, USHER_ENONODE as there; -ENOMEM. */
NODISCARD int policy_explain(enum policy policy, const struct pick_state *state, const struct snapshot *snapshot,
                             struct node_values *values, uint64_t service_id, struct explanation *ret_explanation);
