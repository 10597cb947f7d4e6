#include "core/node/freshness.h"

/* Messages that may go at once after a quiet time, and how many of these are kept for tokens. */
#define BURST 5.0
#define RESERVE 2.0

/* A heartbeat goes out when the queue is off by so many jobs from what was to be expected. */
#define OFF_JOBS 0.3

/* A token that nothing has come of for so many jobs' time is lost, or lies where nobody asks: another dispatcher is told. */
#define TOKEN_JOBS 0.5

void freshness_init(struct freshness *freshness, const struct freshness_config *config, uint64_t now_ns)
{
    *freshness =
        (struct freshness){.config = *config, .allowance = BURST, .allowance_ns = now_ns, .report_ns = now_ns, .job_s = 1};
}

void freshness_job_came(struct freshness *freshness, uint32_t jobs, double job_s, uint64_t dispatcher)
{
    freshness->jobs = jobs;
    freshness->job_s = job_s;
    freshness->reported_jobs++;
    if (freshness->told == dispatcher)
        freshness->told = 0;
    else if (freshness->told != 0)
        freshness->taken = true;
}

void freshness_job_left(struct freshness *freshness, uint32_t jobs, double job_s)
{
    freshness->jobs = jobs;
    freshness->job_s = job_s;
}

static void allowance_grow(struct freshness *freshness, uint64_t now_ns)
{
    freshness->allowance += (double)(now_ns - freshness->allowance_ns) * 1e-9 * freshness->config.per_s;
    freshness->allowance_ns = now_ns;
    if (freshness->allowance > BURST)
        freshness->allowance = BURST;
}

static bool wants_token(const struct freshness *freshness, uint64_t now_ns)
{
    if (!freshness->config.tokens || freshness->jobs >= freshness->config.slots)
        return false;
    uint64_t patience_ns = (uint64_t)(freshness->job_s * TOKEN_JOBS * 1e9) + FRESHNESS_GAP_NS;
    return freshness->told == 0 || now_ns - freshness->token_ns >= patience_ns;
}

static bool wants_report(const struct freshness *freshness, uint64_t now_ns)
{
    if (!freshness->config.reports)
        return false;
    if (freshness->taken)
        return true;
    double done = (double)(now_ns - freshness->report_ns) * 1e-9 / freshness->job_s * freshness->config.slots;
    double expected = (double)freshness->reported_jobs - done;
    double off = (double)freshness->jobs - (expected > 0 ? expected : 0);
    return off >= OFF_JOBS || off <= -OFF_JOBS;
}

/* When `need` messages may go, `last_ns` being when one of the kind last did; UINT64_MAX: never. */
static uint64_t free_at_ns(const struct freshness *freshness, double need, uint64_t last_ns, uint64_t now_ns)
{
    uint64_t free_ns = now_ns;
    if (freshness->allowance < need) {
        if (!(freshness->config.per_s > 0))
            return UINT64_MAX;
        free_ns += (uint64_t)((need - freshness->allowance) / freshness->config.per_s * 1e9) + 1;
    }
    return last_ns != 0 && last_ns + FRESHNESS_GAP_NS > free_ns ? last_ns + FRESHNESS_GAP_NS : free_ns;
}

enum freshness_message freshness_take(struct freshness *freshness, uint64_t dispatcher, uint64_t now_ns, uint64_t *ret_again_ns)
{
    *ret_again_ns = UINT64_MAX;
    bool token = dispatcher != 0 && wants_token(freshness, now_ns);
    if (!token && !wants_report(freshness, now_ns))
        return FRESHNESS_NOTHING;
    allowance_grow(freshness, now_ns);
    uint64_t free_ns = token ? free_at_ns(freshness, 1, freshness->token_ns, now_ns)
                             : free_at_ns(freshness, 1 + RESERVE, freshness->report_ns, now_ns);
    if (free_ns > now_ns) {
        *ret_again_ns = free_ns;
        return FRESHNESS_NOTHING;
    }
    freshness->allowance--;
    if (token) {
        freshness->token_ns = now_ns;
        freshness->told = dispatcher;
        return FRESHNESS_TOKEN;
    }
    freshness_beat(freshness, now_ns);
    return FRESHNESS_REPORT;
}

void freshness_beat(struct freshness *freshness, uint64_t now_ns)
{
    freshness->report_ns = now_ns;
    freshness->reported_jobs = freshness->jobs;
    if (freshness->taken) {
        freshness->taken = false;
        freshness->told = 0;
    }
}
