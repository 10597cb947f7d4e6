/* freshness - what a node tells of itself beside its regular heartbeats: an idle token to one dispatcher, or a heartbeat out of turn for
 * all.
 *
 * A token says that a slot has become free, and that nobody else has been told; one is out at a time. A heartbeat goes out when the
 * queue is not what the last one made dispatchers expect, or when a job came to a free slot from a dispatcher other than that which
 * has been told: the token is to be forgotten then. Both come out of one budget, tokens first.
 * Pure: the caller sends. Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define FRESHNESS_GAP_NS UINT64_C(10000000) /* between two tokens, and between heartbeats (N8) */

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

struct freshness {
    struct freshness_config config;
    double allowance; /* messages that may go at once */
    uint64_t allowance_ns; /* when that was right */
    uint64_t token_ns; /* when the last one went; 0: none has */
    uint64_t report_ns; /* when the last heartbeat of any kind went */
    uint64_t told; /* the dispatcher that has the token; 0: none is out */
    bool taken; /* by a job that another dispatcher sent */
    uint32_t jobs; /* on the node */
    uint32_t reported_jobs; /* in the last heartbeat, and those that came since */
    double job_s; /* expected time of one */
};

void freshness_init(struct freshness *freshness, const struct freshness_config *config, uint64_t now_ns);

/* The node has so many jobs now, and one takes so long (> 0). */
void freshness_job_came(struct freshness *freshness, uint32_t jobs, double job_s, uint64_t dispatcher);
void freshness_job_left(struct freshness *freshness, uint32_t jobs, double job_s);

/* What to send now; it counts as sent, a token to `dispatcher` (not 0). FRESHNESS_NOTHING: ret_again_ns says when to ask again if
 * nothing happens before; UINT64_MAX: not at all. */
enum freshness_message freshness_take(struct freshness *freshness, uint64_t dispatcher, uint64_t now_ns, uint64_t *ret_again_ns);

/* A regular heartbeat goes out. */
void freshness_beat(struct freshness *freshness, uint64_t now_ns);
