/* world - one run: a scenario under one policy, from the first arrival until all measured jobs have ended.
 *
 * Jobs arrive, a policy picks a node for each, nodes work. Nodes report to rm by heartbeats, rm to the dispatchers. Times, orders and
 * sizes of jobs are the same under every policy: they have random generators of their own.
 * Invariant: a job is in one place: on its way, in a node's queue, in a slot, or gone.
 * Thread: one owner. Memory: world_new allocates, world_free frees; grows with the jobs under way. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/random.h"
#include "core/node/estimate.h"
#include "core/node/freshness.h"
#include "core/node/load.h"
#include "tools/sim/events.h"
#include "tools/sim/policies.h"
#include "tools/sim/scenario.h"
#include "tools/sim/times.h"

#define JOB_NONE UINT32_MAX
#define SIM_NODE_NONE UINT32_MAX /* of a pick: nobody is known to be up */

enum event_kind {
    EVENT_ARRIVAL,
    EVENT_ASKS_AGAIN, /* detail: job */
    EVENT_JOB_REACHES, /* subject: node, detail: job */
    EVENT_JOB_ENDS, /* subject: node, detail: slot << 32 | generation */
    EVENT_SAMPLE, /* of the load; subject: node */
    EVENT_BEAT, /* subject: node */
    EVENT_EXTRA, /* the time for an extra heartbeat or a token has come; subject: node */
    EVENT_PUSHED, /* subject: report in flight */
    EVENT_PULL, /* subject: dispatcher */
    EVENT_TOKEN, /* subject: node, detail: dispatcher */
    EVENT_NOISE, /* begins or ends; subject: node */
    EVENT_CHURN, /* goes or comes; subject: node */
};

struct job {
    uint64_t arrived_ns;
    double work_ns; /* at speed 1 */
    uint32_t next; /* in the node's queue */
    uint16_t dispatcher;
    bool measured;
};

struct running {
    uint32_t job; /* JOB_NONE: idle */
    uint32_t generation; /* tells an end that was planned before the speed changed */
    uint64_t since_ns; /* left_ns is right at this time */
    uint64_t started_ns;
    double left_ns; /* at speed 1 */
};

struct sim_node {
    double base_speed;
    double speed; /* now */
    bool up;
    bool noisy;
    bool dispatcher;
    uint32_t coming; /* jobs that are on their way here */
    uint32_t queued;
    uint32_t running;
    uint32_t head; /* of the queue; JOB_NONE: empty */
    uint32_t tail;
    struct running *slots;
    struct load load;
    struct estimate estimate;
    struct freshness freshness;
    uint32_t received[SCENARIO_DISPATCHERS_MAX]; /* jobs, of each dispatcher */
    uint32_t ended_dispatcher; /* whose job ended last; UINT32_MAX: none has */
    uint64_t again_ns; /* when the next EVENT_EXTRA is planned */
};

/* What a heartbeat says: the wire's fields that placement needs. */
struct report {
    uint32_t node;
    uint64_t at_ns; /* when it was made */
    float load_index;
    float load_per_job;
    float busy; /* mean share of slots in use */
    float work_s;
    float rate;
    uint32_t jobs;
    uint32_t received[SCENARIO_DISPATCHERS_MAX];
    bool up;
};

/* Which items of an array are free. */
struct free_list {
    uint32_t *next; /* of each free one; JOB_NONE */
    uint32_t capacity; /* of the array too */
    uint32_t first; /* JOB_NONE: none */
};

struct world {
    const struct scenario *scenario;
    const struct sim_policy *policy;
    void *state; /* the policy's */
    struct events events;
    uint64_t now_ns;
    uint32_t up_count; /* nodes */
    struct random_state arrival_random;
    struct random_state service_random;
    struct random_state trouble_random; /* noise, churn */
    struct random_state network_random; /* loss, delays, unused answers */
    struct random_state policy_random;
    struct sim_node *nodes;
    struct running *slots; /* all nodes' */
    struct job *jobs;
    struct free_list free_jobs;
    struct report *reports; /* in flight */
    struct free_list free_reports;
    struct report *newest; /* of each node, as rm has it */
    uint64_t arrivals;
    uint64_t warm_arrivals; /* not measured */
    uint64_t warm_ns; /* when measuring began; 0: not yet */
    uint64_t measured_left;
    uint64_t messages; /* from nodes since then */
    uint64_t tokens; /* of these */
    struct times times;
};

/* The result of one run, times in units of the mean service time. */
struct outcome {
    double mean, p50, p99, p999;
    double messages_per_node_s;
    double tokens_per_node_s;
    double simulated_s;
};

void world_run(const struct scenario *scenario, const struct sim_policy *policy, struct outcome *ret_outcome);

/* A job has ended; or was lost with its node. */
void world_job_ended(struct world *world, uint32_t job);
void world_job_lost(struct world *world, uint32_t job);

/* Sends what the node wants to tell out of turn. */
void world_node_tells(struct world *world, uint32_t node);

/* For policies and nodes. */
static inline uint32_t sim_node_jobs(const struct sim_node *node)
{
    return node->queued + node->running;
}

/* With those that have been sent there and have not come yet: who knows everything counts them, else all would send to the node that is
 * idle until the first job has come. */
static inline uint32_t sim_node_jobs_sent(const struct sim_node *node)
{
    return node->coming + sim_node_jobs(node);
}
