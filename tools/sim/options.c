#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/duration.h"
#include "tools/sim/command.h"
#include "tools/sim/text.h"

#define SERVICE_MEAN_NS_MIN 1000.0

const struct conf_option scenario_rows[SCENARIO_ROWS] = {
#define OPTION(...) CONF_ROW(struct scenario_options, __VA_ARGS__)
#include "tools/sim/scenario.def"
#undef OPTION
};

static int speeds_parse(const struct conf_texts *speeds, struct scenario *scenario, struct conf_error *ret_error)
{
    if (speeds->count > SCENARIO_SPEEDS_MAX) {
        conf_error_set(ret_error, "--speeds: give at most %u", SCENARIO_SPEEDS_MAX);
        return -EINVAL;
    }
    for (uint32_t i = 0; i < speeds->count; i++) {
        double speed;
        if (text_number(speeds->item[i], &speed) < 0 || speed < 0.001 || speed > 1000) {
            conf_error_set(ret_error,
                           "--speeds: \"%s\" is no speed: give numbers between 0.001 and 1000, such as 0.4,0.8,1.2,1.6",
                           speeds->item[i]);
            return -EINVAL;
        }
        scenario->speeds[scenario->speed_count++] = speed;
    }
    return 0;
}

static int noise_parse(const char *text, struct scenario_noise *noise, struct conf_error *ret_error)
{
    char fields[3][TEXT_FIELD_BYTES];
    uint64_t period_ns;
    if (text_split(text, fields, 3) != 3 || text_number(fields[0], &noise->share) < 0 ||
        text_number(fields[1], &noise->factor) < 0 || duration_parse(fields[2], &period_ns) < 0 || !(noise->share > 0) ||
        noise->share >= 1 || noise->factor < 1 || noise->factor > 1000 || period_ns == 0) {
        conf_error_set(ret_error,
                       "--noisy %s: give SHARE:FACTOR:TIME, such as 0.1:5:10s; SHARE is between 0 and 1, FACTOR 1 to 1000", text);
        return -EINVAL;
    }
    noise->period_ns = (double)period_ns;
    return 0;
}

static int churn_parse(const char *text, struct scenario_churn *churn, struct conf_error *ret_error)
{
    char fields[2][TEXT_FIELD_BYTES];
    uint64_t up_ns, away_ns;
    if (text_split(text, fields, 2) != 2 || duration_parse(fields[0], &up_ns) < 0 || duration_parse(fields[1], &away_ns) < 0 ||
        away_ns == 0 || up_ns < away_ns) {
        conf_error_set(ret_error, "--churn %s: give UP:AWAY, such as 10m:30s; nodes must be up for at least as long as away",
                       text);
        return -EINVAL;
    }
    *churn = (struct scenario_churn){.up_ns = (double)up_ns, .away_ns = (double)away_ns};
    return 0;
}

static int texts_parse(const struct scenario_options *options, struct scenario *scenario, struct conf_error *ret_error)
{
    int r = speeds_parse(&options->speeds, scenario, ret_error);
    if (r == 0 && options->noisy != NULL)
        r = noise_parse(options->noisy, &scenario->noise, ret_error);
    if (r == 0 && options->churn != NULL)
        r = churn_parse(options->churn, &scenario->churn, ret_error);
    if (r == 0)
        r = arrivals_parse(options->arrivals, &scenario->arrivals, ret_error);
    if (r == 0)
        r = service_draw_parse(options->service, &scenario->service, ret_error);
    return r;
}

int scenario_from_options(const struct scenario_options *options, struct scenario *ret_scenario, struct conf_error *ret_error)
{
    struct scenario scenario = {
        .slots = options->slots,
        .dispatchers = options->dispatchers,
        .dispatchers_work = options->dispatchers_work,
        .heartbeat_ns = options->heartbeat_ns,
        .refresh_ns = options->refresh_ns,
        .in_step = options->in_step,
        .push_ns = options->push_ns,
        .delay_ns = options->delay_ns,
        .budget = options->budget,
        .loss = options->loss,
        .unused = options->unused,
        .seed = options->seed,
        .tokens = true,
        .progress = true,
        .share_max = options->share_max,
    };
    if (options->refresh_ns == 0 && options->push_ns == 0) {
        conf_error_set(ret_error, "--refresh 0 without --push: the dispatchers would never hear of the nodes; give one of them");
        return -EINVAL;
    }
    if (options->share_max > 0 && options->share_max < 1) {
        conf_error_set(ret_error,
                       "--share-max: %g would leave every node less than its share: choose 1 or more, or 0 for no limit",
                       options->share_max);
        return -EINVAL;
    }
    int r = texts_parse(options, &scenario, ret_error);
    if (r < 0)
        return r;
    if (scenario.service.mean_ns < SERVICE_MEAN_NS_MIN) {
        conf_error_set(ret_error, "--service %s: events are whole nanoseconds apart; give a mean of 1us or more",
                       options->service);
        scenario_done(&scenario);
        return -EINVAL;
    }
    *ret_scenario = scenario;
    return 0;
}

/* `some` stands before the names. */
static int policy_unknown(const char *name, const char *some, struct conf_error *ret_error)
{
    char known[512] = "";
    for (uint32_t i = 0, at = 0; i < sim_policy_count && at < sizeof(known); i++)
        at += (uint32_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", sim_policies[i].name);
    conf_error_set(ret_error, "--policy: there is no \"%s\"; give %s of %s", name, some, known);
    return -EINVAL;
}

int policy_from_name(const char *name, const struct sim_policy **ret_policy, struct conf_error *ret_error)
{
    const struct sim_policy *policy = sim_policy_find(name);
    if (policy == NULL)
        return policy_unknown(name, "one", ret_error);
    *ret_policy = policy;
    return 0;
}

static void policy_choose(struct chosen_policies *chosen, const struct sim_policy *policy)
{
    for (uint32_t i = 0; i < chosen->count; i++)
        if (chosen->item[i] == policy)
            return;
    CHECK(chosen->count < POLICIES_CHOSEN_MAX);
    chosen->item[chosen->count++] = policy;
}

int policies_from_names(const struct conf_texts *names, struct chosen_policies *ret_chosen, struct conf_error *ret_error)
{
    struct chosen_policies chosen = {.count = 0};
    for (uint32_t i = 0; i < names->count; i++) {
        bool all = strcmp(names->item[i], "all") == 0;
        const struct sim_policy *policy = sim_policy_find(names->item[i]);
        if (policy == NULL && !all)
            return policy_unknown(names->item[i], "all, or some", ret_error);
        for (uint32_t k = 0; k < sim_policy_count; k++)
            if (all || policy == &sim_policies[k])
                policy_choose(&chosen, &sim_policies[k]);
    }
    *ret_chosen = chosen;
    return 0;
}
