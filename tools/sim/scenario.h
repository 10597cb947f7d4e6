/* scenario - what is simulated: a cluster, its load, how its information travels, and what goes wrong.
 *
 * Thread: one owner; immutable while worlds run. Memory: scenario_done frees the service trace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tools/sim/draws.h"

#define SCENARIO_NODES_MAX 100000u
#define SCENARIO_SLOTS_MAX 1024u
#define SCENARIO_SPEEDS_MAX 64u
#define SCENARIO_DISPATCHERS_MAX 64u
#define SCENARIO_JOBS_MAX 50000000u

/* At any time `share` of the nodes are slowed `factor` times, each time for period_ns on average (exponential). */
struct scenario_noise {
    double share; /* 0: none */
    double factor; /* ≥ 1 */
    double period_ns;
};

/* Each node is away for away_ns after a life of up_ns on average (exponential); its jobs are lost, and start anew elsewhere. */
struct scenario_churn {
    double up_ns; /* 0: none */
    double away_ns;
};

struct scenario {
    uint32_t nodes;
    uint32_t slots; /* of each node */
    double speeds[SCENARIO_SPEEDS_MAX]; /* taken in turn */
    uint32_t speed_count;
    uint32_t dispatchers;
    bool dispatchers_work; /* the first nodes are the dispatchers: they get less (D10) */
    struct service_draw service;
    struct arrivals arrivals;
    double load; /* of all slots at their speeds, 0 … 1; the arrivals' rate follows from it */
    uint64_t heartbeat_ns;
    uint64_t refresh_ns; /* how often dispatchers pull; 0: never */
    bool in_step; /* all at the same time */
    uint64_t push_ns; /* how long a pushed report or token travels; 0: nothing is pushed */
    uint64_t delay_ns; /* from the pick until the job is at the node */
    double budget; /* messages a node may send per second, heartbeats included */
    double loss; /* share of heartbeats, pushes and tokens that never arrive */
    double unused; /* share of answers that never become jobs */
    struct scenario_noise noise;
    struct scenario_churn churn;
    bool tokens;
    bool progress; /* is shown on stderr, if that is a terminal */
    double share_max; /* finish-time's: no node gets more than so many times its share; 0: any */
    uint64_t jobs; /* measured */
    uint64_t seed;
};

void scenario_done(struct scenario *scenario);

/* Jobs per ns that would fill all slots. */
double scenario_capacity(const struct scenario *scenario);

/* Sets load and rate. */
void scenario_set_load(struct scenario *scenario, double load);

/* Jobs that come before those that are measured. */
double scenario_warm_arrivals(const struct scenario *scenario);
