/* freshness - what a node tells of itself beside its regular heartbeats: an idle token to one dispatcher, or a heartbeat out of turn for
 * all.
 *
 * A token says that a slot has become free, and that nobody else has been told; one is out at a time. A heartbeat goes out when the
 * queue is not what the last one made dispatchers expect, or when a job came to a free slot from a dispatcher other than that which
 * has been told: the token is to be forgotten then.
 *
 * Tokens come first, out of two budgets. One is the node's own: so many messages a second. The other is its share of what the region's
 * dispatchers take in: FRESHNESS_DISPATCHER_PER_S each, divided by the nodes. Of that one a token, which goes to one dispatcher, takes
 * one, and a heartbeat, which all get, as many as there are dispatchers.
 * Pure: the caller sends. Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define FRESHNESS_GAP_NS UINT64_C(10000000) /* between two tokens, and between heartbeats (N8) */
#define FRESHNESS_DISPATCHER_PER_S 20000.0 /* tokens and heartbeats out of turn of all nodes that a dispatcher gets */

struct freshness_config {
    uint32_t slots;
    double per_s; /* tokens and heartbeats out of turn a second */
    bool tokens;
    bool reports;
};

enum freshness_message {
    FRESHNESS_NOTHING,
    FRESHNESS_TOKEN,
    FRESHNESS_REPORT,
};

struct freshness_allowance {
    double messages; /* that may go at once; never more than max */
    double max;
    double per_s;
    uint64_t at_ns; /* when that was right */
};

struct freshness {
    struct freshness_config config;
    struct freshness_allowance own;
    struct freshness_allowance share; /* of the dispatchers; per_s is infinite before freshness_share */
    uint32_t dispatchers; /* how much of the share a heartbeat takes */
    uint64_t held; /* messages that had to wait for either, or were given up, but for one each FRESHNESS_GAP_NS */
    uint64_t held_ns; /* when the last one was counted */
    uint64_t token_ns; /* when the last one went; 0: none has */
    uint64_t report_ns; /* when the last heartbeat of any kind went */
    uint64_t told; /* the dispatcher that has the token; 0: none is out */
    bool taken; /* by a job that another dispatcher sent */
    uint32_t jobs; /* on the node */
    uint32_t reported_jobs; /* in the last heartbeat, and those that came since */
    double job_s; /* expected time of one */
};

void freshness_init(struct freshness *freshness, const struct freshness_config *config, uint64_t now_ns);

/* So many dispatchers, and nodes that share them. */
void freshness_share(struct freshness *freshness, uint32_t dispatchers, uint32_t nodes, uint64_t now_ns);

/* Messages a second that may go now: tokens, if nothing else. */
double freshness_budget_per_s(const struct freshness *freshness);

/* The node has so many jobs now, and one takes so long (> 0). */
void freshness_job_came(struct freshness *freshness, uint32_t jobs, double job_s, uint64_t dispatcher);
void freshness_job_left(struct freshness *freshness, uint32_t jobs, double job_s);

/* What to send now; it counts as sent, a token to `dispatcher` (not 0). FRESHNESS_NOTHING: ret_again_ns says when to ask again if
 * nothing happens before; UINT64_MAX: not at all. */
enum freshness_message freshness_take(struct freshness *freshness, uint64_t dispatcher, uint64_t now_ns, uint64_t *ret_again_ns);

/* A heartbeat out of turn is wanted for another reason (N8). True: it may go, and has been taken off the budgets; off the node's own unless
 * that is 0: then nothing but such heartbeats goes. */
NODISCARD bool freshness_extra(struct freshness *freshness, uint64_t now_ns);

/* A heartbeat goes out, for whatever reason. */
void freshness_beat(struct freshness *freshness, uint64_t now_ns);
