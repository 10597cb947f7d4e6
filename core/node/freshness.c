#include "core/node/freshness.h"

#include <math.h>

/* Messages that may go at once after a quiet time, and how many of these are kept for tokens. */
#define BURST 5.0
#define RESERVE 2.0

/* A heartbeat goes out when the queue is off by so many jobs from what was to be expected. */
#define OFF_JOBS 0.3

/* A token that nothing has come of for so many jobs' time is lost, or lies where nobody asks: another dispatcher is told. */
#define TOKEN_JOBS 0.5

void freshness_init(struct freshness *freshness, const struct freshness_config *config, uint64_t now_ns)
{
    *freshness = (struct freshness){
        .config = *config,
        .own = {.messages = BURST, .max = BURST, .per_s = config->per_s, .at_ns = now_ns},
        .share = {.messages = INFINITY, .max = INFINITY, .per_s = INFINITY, .at_ns = now_ns},
        .report_ns = now_ns,
        .job_s = 1,
    };
}

static void allowance_grow(struct freshness_allowance *allowance, uint64_t now_ns)
{
    allowance->messages += (double)(now_ns - allowance->at_ns) * 1e-9 * allowance->per_s;
    allowance->at_ns = now_ns;
    if (!(allowance->messages < allowance->max))
        allowance->messages = allowance->max;
}

static void allowances_grow(struct freshness *freshness, uint64_t now_ns)
{
    allowance_grow(&freshness->own, now_ns);
    allowance_grow(&freshness->share, now_ns);
}

void freshness_share(struct freshness *freshness, uint32_t dispatchers, uint32_t nodes, uint64_t now_ns)
{
    struct freshness_allowance *share = &freshness->share;
    allowance_grow(share, now_ns);
    freshness->dispatchers = dispatchers;
    share->per_s = FRESHNESS_DISPATCHER_PER_S * dispatchers / (nodes > 0 ? nodes : 1);
    share->max = BURST * dispatchers;
    /* At first no more than a second's: a hundred thousand nodes may have been started together. */
    double limit = isinf(share->messages) && share->per_s < share->max ? share->per_s : share->max;
    if (share->messages > limit)
        share->messages = limit;
}

double freshness_budget_per_s(const struct freshness *freshness)
{
    return freshness->own.per_s < freshness->share.per_s ? freshness->own.per_s : freshness->share.per_s;
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

/* When there will be so much; UINT64_MAX: never. */
static uint64_t allowed_at_ns(const struct freshness_allowance *allowance, double need, uint64_t now_ns)
{
    if (allowance->messages >= need)
        return now_ns;
    if (!(allowance->per_s > 0))
        return UINT64_MAX;
    return now_ns + (uint64_t)((need - allowance->messages) / allowance->per_s * 1e9) + 1;
}

static void count_held(struct freshness *freshness, uint64_t now_ns)
{
    if (freshness->held > 0 && now_ns - freshness->held_ns < FRESHNESS_GAP_NS)
        return;
    freshness->held++;
    freshness->held_ns = now_ns;
}

/* When a message may go that takes so much of the share, with so many left over in both budgets, `last_ns` being when one of the kind
 * last did; UINT64_MAX: never. */
static uint64_t free_at_ns(struct freshness *freshness, double cost, double reserve, uint64_t last_ns, uint64_t now_ns)
{
    uint64_t own_ns = allowed_at_ns(&freshness->own, 1 + reserve, now_ns);
    uint64_t share_ns = allowed_at_ns(&freshness->share, cost + reserve, now_ns);
    uint64_t free_ns = own_ns > share_ns ? own_ns : share_ns;
    uint64_t gap_ns = last_ns != 0 ? last_ns + FRESHNESS_GAP_NS : 0;
    if (free_ns > now_ns && gap_ns <= now_ns)
        count_held(freshness, now_ns);
    return gap_ns > free_ns ? gap_ns : free_ns;
}

enum freshness_message freshness_take(struct freshness *freshness, uint64_t dispatcher, uint64_t now_ns, uint64_t *ret_again_ns)
{
    *ret_again_ns = UINT64_MAX;
    bool token = dispatcher != 0 && wants_token(freshness, now_ns);
    if (!token && !wants_report(freshness, now_ns))
        return FRESHNESS_NOTHING;
    allowances_grow(freshness, now_ns);
    double cost = token ? 1 : freshness->dispatchers;
    uint64_t free_ns = token ? free_at_ns(freshness, cost, 0, freshness->token_ns, now_ns)
                             : free_at_ns(freshness, cost, RESERVE, freshness->report_ns, now_ns);
    if (free_ns > now_ns) {
        *ret_again_ns = free_ns;
        return FRESHNESS_NOTHING;
    }
    freshness->own.messages--;
    freshness->share.messages -= cost;
    if (token) {
        freshness->token_ns = now_ns;
        freshness->told = dispatcher;
        return FRESHNESS_TOKEN;
    }
    freshness_beat(freshness, now_ns);
    return FRESHNESS_REPORT;
}

bool freshness_extra(struct freshness *freshness, uint64_t now_ns)
{
    allowances_grow(freshness, now_ns);
    bool counts = freshness->config.per_s > 0;
    if ((counts && freshness->own.messages < 1) || freshness->share.messages < freshness->dispatchers) {
        count_held(freshness, now_ns);
        return false;
    }
    if (counts)
        freshness->own.messages--;
    freshness->share.messages -= freshness->dispatchers;
    return true;
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
