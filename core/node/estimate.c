#include "core/node/estimate.h"

#include "core/base/check.h"

void estimate_job_accepted(struct estimate *estimate, uint32_t service)
{
    estimate->jobs[service]++;
}

void estimate_job_left(struct estimate *estimate, uint32_t service)
{
    CHECK(estimate->jobs[service] > 0);
    estimate->jobs[service]--;
}

void estimate_job_ran(struct estimate *estimate, uint32_t service, float ran_s)
{
    float *mean_s = &estimate->mean_s[service];
    /* A mean of exactly 0 means "none yet": jobs shorter than the clock's grain count as a microsecond. */
    float s = ran_s > 1e-6f ? ran_s : 1e-6f;
    *mean_s = *mean_s > 0 ? *mean_s + ESTIMATE_SHARE * (s - *mean_s) : s;
}

float estimate_job_s(const struct estimate *estimate, uint32_t service)
{
    float mean_s = estimate->mean_s[service];
    return mean_s > 0 ? mean_s : ESTIMATE_NOMINAL_S;
}

float estimate_work_s(const struct estimate *estimate, uint32_t service)
{
    return (float)estimate->jobs[service] * estimate_job_s(estimate, service);
}

uint32_t estimate_retry_ms(const struct estimate *estimate, uint32_t slots)
{
    float work_s = 0;
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        work_s += estimate_work_s(estimate, i);
    float ms = work_s * 1000 / (float)slots;
    if (ms < (float)ESTIMATE_RETRY_MS_MIN)
        return ESTIMATE_RETRY_MS_MIN;
    return ms > (float)ESTIMATE_RETRY_MS_MAX ? ESTIMATE_RETRY_MS_MAX : (uint32_t)ms;
}
