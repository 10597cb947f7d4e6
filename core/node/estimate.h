/* estimate - how long a job of each service takes on this node, and how much work waits and runs: what heartbeats report, and what the
 * retry-after of a BUSY comes from.
 *
 * A service's expected time is the mean of its latest ESTIMATE_JOBS_MAX jobs; before the first one has ended it is
 * ESTIMATE_NOMINAL_S: a guess, but one that makes jobs of an unknown service count at all. Running jobs count in full: what they have
 * behind them says little about what is left.
 *
 * A node whose speed has changed (a noisy neighbour, a clock) is found by a cumulative sum of how much longer, or shorter, jobs took
 * than expected, all services together (Page 1954). When it passes what chance explains, given the services' variance, what was seen
 * since the sum was last 0 is believed at once: all means are scaled by it and go on from there with as little weight as it has.
 * Jobs that run count for that too: one that hangs need not end first. A single job that took very long is no change of speed, and jobs of
 * less than a millisecond say nothing of it.
 *
 * A node that has become slower than others may get no jobs at all then, and would never learn that it is quick again. So while it stands
 * idle it hopes: its expected times fall back, by half for every few of them, towards the best that they once were, and from there on, or
 * when they never were better, much more slowly. The job that this brings shows whether they are.
 * Pure. Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/wire/limits.h"

#define ESTIMATE_NOMINAL_S 0.1f
#define ESTIMATE_JOBS_MAX 1000.0

#define ESTIMATE_RETRY_MS_MIN 10u
#define ESTIMATE_RETRY_MS_MAX 5000u

struct estimate_service {
    uint32_t jobs; /* waiting and running */
    double weight; /* jobs that the mean stands for */
    double mean_s; /* meaningless while weight is 0 */
    double scv; /* variance of the times over the mean's square */
    double best_s; /* the least that the mean was, fading; 0: of too few jobs yet */
};

/* How far times have been off in one direction lately; 0: not at all. */
struct estimate_drift {
    double sum; /* in expected times */
    double jobs; /* since the sum was last 0 */
    double ran_s[NODE_SERVICES_MAX]; /* by these, of each service */
};

struct estimate {
    uint32_t slots;
    uint32_t changes; /* of the node's speed, believed so far */
    uint64_t now_ns; /* up to which elapsed_s is right */
    double elapsed_s; /* behind the jobs that run, all together */
    uint64_t idle_ns; /* since when no job has been here */
    double hope; /* expected times are this part of the means: 0 < hope ≤ 1 */
    double hope_least; /* down to here no service's below its best */
    struct estimate_drift slower;
    struct estimate_drift faster;
    struct estimate_service services[NODE_SERVICES_MAX];
};

/* slots ≥ 1. */
void estimate_init(struct estimate *estimate, uint32_t slots, uint64_t now_ns);

void estimate_job_accepted(struct estimate *estimate, uint32_t service, uint64_t now_ns);
void estimate_job_left(struct estimate *estimate, uint32_t service, uint64_t now_ns);

/* A job of this service ran for so long, to its end; before estimate_job_left. */
void estimate_job_ran(struct estimate *estimate, uint32_t service, float ran_s, uint64_t now_ns);

/* Takes what runs into account: before a report. */
void estimate_look(struct estimate *estimate, uint64_t now_ns);

/* No job of the service has ended yet: what follows is a guess. */
bool estimate_is_guess(const struct estimate *estimate, uint32_t service);

/* Expected seconds for one job, and for all that wait and run; and jobs a second with all slots busy. */
float estimate_job_s(const struct estimate *estimate, uint32_t service);
float estimate_work_s(const struct estimate *estimate, uint32_t service);
float estimate_rate(const struct estimate *estimate, uint32_t service);

/* Jobs of all services that wait and run. */
uint32_t estimate_jobs(const struct estimate *estimate);

/* When a slot should be free again for one who comes last in the queue: all work shared by the slots, 10 ms … 5 s. */
uint32_t estimate_retry_ms(const struct estimate *estimate);
