/* estimate - how much work waits and runs on the node, in expected seconds for each service: what heartbeats report as q, and what the
 * retry-after of a BUSY comes from.
 *
 * A job's expected time is the exponentially weighted mean of its service's earlier ones. Until the first one has ended it is
 * ESTIMATE_NOMINAL_S: a guess, but one that makes jobs of an unknown service count at all. Running jobs count in full: what they have
 * behind them says little about what is left.
 * Pure. Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdint.h>

#include "core/wire/limits.h"

#define ESTIMATE_NOMINAL_S 0.1f
#define ESTIMATE_SHARE 0.1f /* of the newest job in the mean: the last twenty jobs make up 88 % of it */

#define ESTIMATE_RETRY_MS_MIN 10u
#define ESTIMATE_RETRY_MS_MAX 5000u

struct estimate {
    uint32_t jobs[NODE_SERVICES_MAX]; /* waiting and running */
    float mean_s[NODE_SERVICES_MAX]; /* 0: none has ended yet */
};

void estimate_job_accepted(struct estimate *estimate, uint32_t service);
void estimate_job_left(struct estimate *estimate, uint32_t service);

/* A job of this service ran for so long. */
void estimate_job_ran(struct estimate *estimate, uint32_t service, float ran_s);

/* Expected seconds for one job, and for all that wait and run. */
float estimate_job_s(const struct estimate *estimate, uint32_t service);
float estimate_work_s(const struct estimate *estimate, uint32_t service);

/* When a slot should be free again for one who comes last in the queue: all work shared by the slots, 10 ms … 5 s. */
uint32_t estimate_retry_ms(const struct estimate *estimate, uint32_t slots);
