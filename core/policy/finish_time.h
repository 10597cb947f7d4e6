/* finish_time - the policy that hands out the node expected to finish a job first.
 *
 * For each node a dispatcher keeps the time at which it will have done all that it is known, or expected, to have. A report sets it
 * from the work that waits and runs, less what was done since, plus what this dispatcher and the others (deciding in parallel, out of
 * its sight) have sent there and the report can't know of. Every pick moves it on by a job for each dispatcher. A pick takes the best
 * of four nodes, drawn evenly; or one that has just said, to this dispatcher alone, that it is idle (join-idle-queue: Lu et al. 2011).
 * Where reports are older than some dozens of jobs they say nothing any more: nodes then get turns in proportion to their speeds.
 * Why each of these is as it is, and what simulations say of it: docs/PLACEMENT.md.
 *
 * Thread: picks on every core; reports and tokens on the control thread, which alone has the tracks. Relaxed atomics throughout: two
 * cores that move a node's time at once may lose one move, which the next report sets right.
 * Memory: the caller's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/policy/idle_tokens.h"
#include "core/policy/share_cap.h"
#include "core/policy/values.h"

/* What all cores of a dispatcher share. */
struct finish_time {
    struct idle_tokens *tokens; /* NULL: none */
    _Atomic uint32_t dispatchers; /* that decide in parallel, this one included: ≥ 1 */
    _Atomic float age_s; /* how old what is known of a node is, on average, while reports come */
    _Atomic float silent_s; /* for how long none has come; 0: they come */
    _Atomic uint64_t turned_ns; /* when a node was last given its turn, or up to 100 ms before; 0: never */
    struct share_cap share; /* control thread */
};

/* What the control thread knows of a node beside its values. All zeroes: nothing yet. */
struct finish_track {
    uint64_t boot_id; /* of the node; 0: none heard of */
    uint64_t reported_ns; /* when the newest report was made */
    uint64_t mark_ns; /* when `mark` was taken */
    uint32_t mark; /* picks */
    uint32_t dead; /* picks that never became jobs, and jobs that were not picks: wraps */
    uint64_t picked_ns; /* a node that does not echo: when it was last seen to have been picked */
    struct share_track share;
};

/* A newer report of a node. */
struct finish_report {
    uint64_t boot_id;
    uint64_t age_ns; /* since the node made it */
    uint32_t slots; /* ≥ 1 */
    uint32_t jobs; /* waiting and running */
    uint32_t received; /* jobs that this dispatcher sent there */
    bool echoes; /* `received` is meaningful; else picks count until they must have been seen (NO_ECHO) */
    float work_s; /* all services together */
    float load; /* index; of a node that does not echo it stands in for the jobs, which nobody has counted */
    float queue_factor; /* 1.5 on dispatchers (D10) */
    uint64_t kind; /* the same for nodes that offer the same services; any number */
    uint32_t service_count; /* ≤ VALUES_SERVICES_MAX */
    float job_s[VALUES_SERVICES_MAX]; /* 0: not known */
};

/* With SHARE_MAX. */
void finish_time_init(struct finish_time *finish, struct idle_tokens *tokens);

/* How old what is known of a node is. */
static inline float finish_time_age_s(const struct finish_time *finish)
{
    float age_s = atomic_load_explicit(&finish->age_s, memory_order_relaxed);
    float silent_s = atomic_load_explicit(&finish->silent_s, memory_order_relaxed);
    return age_s > silent_s ? age_s : silent_s;
}

/* True: the node looks idle and is not among the idle ones yet: push it for each of its services. */
NODISCARD bool finish_time_report(struct finish_time *finish, struct node_values *values, struct finish_track *track,
                                  const struct finish_report *report, uint64_t now_ns);

/* The node has said that it is idle. True as above. */
NODISCARD bool finish_time_token(struct node_values *values, const struct finish_track *track, uint64_t now_ns);

/* A node that is not reported of: to be called at least every FINISH_SETTLE_NS, else its finish time, which wraps, would come round
 * again. */
#define FINISH_SETTLE_NS UINT64_C(60000000000)
void finish_time_settle(struct node_values *values, uint64_t now_ns);

/* It could not be pushed. */
void finish_time_unheld(struct node_values *values);

/* Nothing is known of the node, as when it has just come. */
void finish_time_forget(struct node_values *values, uint64_t now_ns);

/* A time as one byte: 0 not known, else a microsecond times 2^((code - 1) / 8), off by less than 5 %. */
uint8_t finish_time_code(float job_s);
float finish_time_job_s(uint8_t code);

/* When the node will have done what it is expected to have, from now; < 0: since when it has. */
float finish_time_left_s(const struct node_values *values, uint64_t now_ns);
