/* values - what a pick and its answer need of a node: one cache line, updated in place.
 *
 * Indexed by slot: a node keeps its slot as long as it is a member, and a slot is given to another node only after every reader has
 * left the snapshots that named the first one.
 * Invariant: each field is meaningful by itself; readers may see a mixture of two reports, never a torn field. The address is
 * written before a snapshot names the slot, and stays as long as one does.
 * Thread: written by the control thread (picks: by every core), read by all, relaxed atomics.
 * Memory: handed in by the directory's owner, so that one day it can be a map shared with the kernel. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"

#define VALUES_SERVICES_MAX 16u /* of one node: as many as a heartbeat has */

enum node_value_flag {
    /* What clients are told; the same bits as in their answers. */
    NODE_VALUE_DISPATCHER = 1, /* gets less than a worker (D10) */
    NODE_VALUE_NO_ECHO = 2, /* an attached server: it does not count what it gets */
    NODE_VALUE_LAST = 4, /* heartbeat expired, kept only so that the list is not empty: rank last */
    NODE_VALUE_DRAIN = 8, /* drained by an operator, or leaving: never hand out */
};

enum node_value_token {
    NODE_TOKEN_IDLE = 1, /* the node has told this dispatcher alone that it is idle, and nobody has used that */
    NODE_TOKEN_HELD = 2, /* it is among the idle ones (idle_tokens.h) */
    NODE_TOKEN_TENURE = 4, /* the other bits count to how many nodes the slot was given; wraps */
};

struct node_values {
    /* For finish-time: finish_time.h. Codes first, so that where one is takes no addition. */
    _Atomic uint8_t job_codes[VALUES_SERVICES_MAX]; /* expected time of a job of its k-th service, as finish_time_code has it */
    _Atomic uint32_t free; /* when a slot will be, after all that the node has, and is expected to get; may be past; wraps */
    _Atomic uint16_t slots; /* 0: nothing known yet */
    _Atomic uint8_t token; /* of enum node_value_token */
    _Atomic uint8_t job_code; /* of one of the jobs that it has */

    _Atomic uint16_t flags; /* mask of enum node_value_flag */
    _Atomic uint16_t below_mask; /* bit k: below the average load of the node's k-th service (requirement R3) */
    _Atomic float load_index; /* as reported */
    _Atomic float load_per_job; /* what one more queued job adds to the load index; ×1.5 on dispatchers (D10) */
    _Atomic uint32_t picks; /* answers of this dispatcher that named the node; wraps */
    _Atomic uint32_t picks_at_report; /* picks when the newest report was applied */
    struct address address;
} ALIGN_CACHE_LINE;
_Static_assert(sizeof(struct node_values) == CACHE_LINE_BYTES, "what a pick touches of a node is one cache line");

/* Which of the nodes that the slot was given to has it: what was said of one is not to be believed of the next. */
static inline uint8_t node_values_tenure(const struct node_values *values)
{
    return atomic_load_explicit(&values->token, memory_order_relaxed) / NODE_TOKEN_TENURE;
}

/* The node leaves the slot: tokens that are still about are not believed from now on. Whoever believed one has left the snapshots that
 * named the node when the slot is given to another one. */
static inline void node_values_leave(struct node_values *values)
{
    uint8_t tenure = (uint8_t)((node_values_tenure(values) + 1u) * NODE_TOKEN_TENURE);
    atomic_store_explicit(&values->token, tenure, memory_order_relaxed);
}

/* What a newer report says. Control thread only. */
struct node_report {
    uint32_t flags;
    uint32_t below_mask;
    float load_index;
    float load_per_job;
};

/* Forgets the own picks too: the report is newer than most of them. */
static inline void node_values_apply(struct node_values *values, const struct node_report *report)
{
    uint32_t picks = atomic_load_explicit(&values->picks, memory_order_relaxed);
    atomic_store_explicit(&values->flags, (uint16_t)report->flags, memory_order_relaxed);
    atomic_store_explicit(&values->below_mask, (uint16_t)report->below_mask, memory_order_relaxed);
    atomic_store_explicit(&values->load_index, report->load_index, memory_order_relaxed);
    atomic_store_explicit(&values->load_per_job, report->load_per_job, memory_order_relaxed);
    atomic_store_explicit(&values->picks_at_report, picks, memory_order_relaxed);
}

/* Makes them those of a new node of which nothing is known. No snapshot names the slot, but an old token may. */
static inline void node_values_reset(struct node_values *values, const struct address *address)
{
    atomic_store_explicit(&values->flags, 0, memory_order_relaxed);
    atomic_store_explicit(&values->below_mask, 0, memory_order_relaxed);
    atomic_store_explicit(&values->load_index, 0, memory_order_relaxed);
    atomic_store_explicit(&values->load_per_job, 0, memory_order_relaxed);
    atomic_store_explicit(&values->picks, 0, memory_order_relaxed);
    atomic_store_explicit(&values->picks_at_report, 0, memory_order_relaxed);
    atomic_store_explicit(&values->free, 0, memory_order_relaxed);
    atomic_store_explicit(&values->slots, 0, memory_order_relaxed);
    atomic_store_explicit(&values->job_code, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < VALUES_SERVICES_MAX; i++)
        atomic_store_explicit(&values->job_codes[i], 0, memory_order_relaxed);
    values->address = *address;
}

/* For a node that gets another slot, which no reader knows yet; picks that are counted meanwhile are lost. */
static inline void node_values_copy(struct node_values *values, struct node_values *from)
{
    atomic_store_explicit(&values->flags, atomic_load_explicit(&from->flags, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&values->below_mask, atomic_load_explicit(&from->below_mask, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&values->load_index, atomic_load_explicit(&from->load_index, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&values->load_per_job, atomic_load_explicit(&from->load_per_job, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&values->picks, atomic_load_explicit(&from->picks, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&values->picks_at_report, atomic_load_explicit(&from->picks_at_report, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&values->free, atomic_load_explicit(&from->free, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&values->slots, atomic_load_explicit(&from->slots, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&values->job_code, atomic_load_explicit(&from->job_code, memory_order_relaxed), memory_order_relaxed);
    for (uint32_t i = 0; i < VALUES_SERVICES_MAX; i++)
        atomic_store_explicit(&values->job_codes[i], atomic_load_explicit(&from->job_codes[i], memory_order_relaxed),
                              memory_order_relaxed);
}

/* The load to expect by now: the report, plus what this dispatcher has sent there since. */
static inline float node_values_expected_load(const struct node_values *values)
{
    uint32_t unseen = atomic_load_explicit(&values->picks, memory_order_relaxed) -
                      atomic_load_explicit(&values->picks_at_report, memory_order_relaxed);
    return atomic_load_explicit(&values->load_index, memory_order_relaxed) +
           atomic_load_explicit(&values->load_per_job, memory_order_relaxed) * (float)unseen;
}
