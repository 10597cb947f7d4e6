#include "tools/sim/plan.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/duration.h"
#include "tools/sim/command.h"
#include "tools/sim/effort.h"
#include "tools/sim/failure.h"
#include "tools/sim/times.h"
#include "tools/sim/world.h"

/* Jobs alone: so many are drawn, and a limit is hopeless below this share of what they take, since two samples differ. */
#define ALONE_JOBS 100000u
#define ALONE_SURE 0.9

#define LOAD_MAX 0.999 /* queues have no steady length above that */

struct own_plan_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tools/sim/plan.def"
#undef OPTION
};

struct plan_options {
    struct own_plan_options own;
    struct scenario_options scenario;
};

static const struct conf_option own_rows[] = {
#define OPTION(...) CONF_ROW(struct own_plan_options, __VA_ARGS__)
#include "tools/sim/plan.def"
#undef OPTION
};

static const struct conf_table plan_tables[] = {
    {.title = "Options", .rows = own_rows, .row_count = ARRAY_COUNT(own_rows), .offset = offsetof(struct plan_options, own)},
    {.title = "What is simulated",
     .rows = scenario_rows,
     .row_count = SCENARIO_ROWS,
     .offset = offsetof(struct plan_options, scenario)},
};

const struct conf_program sim_plan_program = {
    .name = "usher-sim plan",
    .summary = "says how many nodes a load needs",
    .description = "Simulates clusters of different sizes until it has found the smallest in which the limit holds.",
    .man_section = 1,
    .options_bytes = sizeof(struct plan_options),
    .tables = plan_tables,
    .table_count = ARRAY_COUNT(plan_tables),
};

int plan_limit_parse(const char *text, struct slo *ret_slo, struct conf_error *ret_error)
{
    static const char *const names[] = {[SLO_MEAN] = "mean<", [SLO_P50] = "p50<", [SLO_P99] = "p99<", [SLO_P999] = "p999<"};
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        size_t length = strlen(names[i]);
        uint64_t limit_ns;
        if (strncmp(text, names[i], length) != 0 || duration_parse(text + length, &limit_ns) < 0 || limit_ns == 0)
            continue;
        *ret_slo = (struct slo){.figure = (enum slo_figure)i, .limit_ns = limit_ns};
        return 0;
    }
    conf_error_set(ret_error, "--slo %s: give mean<TIME, p50<TIME, p99<TIME or p999<TIME, such as 'p99<50ms'", text);
    return -EINVAL;
}

static double figure_of(const struct outcome *outcome, enum slo_figure figure)
{
    switch (figure) {
    case SLO_MEAN: return outcome->mean;
    case SLO_P50: return outcome->p50;
    case SLO_P99: return outcome->p99;
    case SLO_P999: break;
    }
    return outcome->p999;
}

/* 1, or 0: too few. -EINVAL: it would take too long; with ret_error. */
static int enough(struct scenario *scenario, const struct sim_policy *policy, const struct slo *slo, double jobs_per_s,
                  uint32_t nodes, struct plan_answer *answer, struct conf_error *ret_error)
{
    scenario->nodes = nodes;
    double load = jobs_per_s * 1e-9 / scenario_capacity(scenario);
    if (load > LOAD_MAX)
        return 0;
    scenario_set_load(scenario, load);
    struct outcome outcome;
    int r = effort_check(sim_plan_program.name, scenario, effort_of(scenario, policy), ret_error);
    if (r < 0)
        return r;
    world_run(scenario, policy, &outcome);
    answer->tried++;
    double figure_ns = figure_of(&outcome, slo->figure) * scenario->service.mean_ns;
    if (figure_ns >= (double)slo->limit_ns)
        return 0;
    answer->nodes = nodes;
    answer->load = load;
    answer->figure_ns = figure_ns;
    return 1;
}

/* What jobs alone on the fastest node take: no number of nodes makes it less. */
static int alone(const struct scenario *scenario, const struct slo *slo, double *ret_figure_ns)
{
    struct times times;
    struct random_state random;
    double speed = scenario->speeds[0];
    if (times_init(&times, ALONE_JOBS) < 0)
        return -ENOMEM;
    random_init(&random, scenario->seed);
    for (uint32_t i = 1; i < scenario->speed_count; i++)
        speed = fmax(speed, scenario->speeds[i]);
    for (uint32_t i = 0; i < ALONE_JOBS; i++)
        times_add(&times, service_draw(&scenario->service, &random) / scenario->service.mean_ns);
    times_close(&times);
    struct outcome outcome = {.mean = 1,
                              .p50 = times_quantile(&times, 0.5),
                              .p99 = times_quantile(&times, 0.99),
                              .p999 = times_quantile(&times, 0.999)};
    *ret_figure_ns = figure_of(&outcome, slo->figure) * scenario->service.mean_ns / speed;
    times_done(&times);
    return 0;
}

int sim_plan_nodes(struct scenario *scenario, const struct sim_policy *policy, const struct slo *slo, double jobs_per_s,
                   struct plan_answer *ret_answer, struct conf_error *ret_error)
{
    struct plan_answer answer = {.nodes = 0};
    uint32_t low = 0, high = 1; /* low: too few */
    double alone_ns;
    if (alone(scenario, slo, &alone_ns) < 0)
        return -ENOMEM;
    if (alone_ns * ALONE_SURE >= (double)slo->limit_ns)
        return -ERANGE;
    int r;
    while ((r = enough(scenario, policy, slo, jobs_per_s, high, &answer, ret_error)) == 0) {
        low = high;
        if (high == SCENARIO_NODES_MAX)
            return -ERANGE;
        high = high > SCENARIO_NODES_MAX / 2 ? SCENARIO_NODES_MAX : high * 2;
    }
    while (r >= 0 && high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        r = enough(scenario, policy, slo, jobs_per_s, middle, &answer, ret_error);
        if (r > 0)
            high = middle;
        else
            low = middle;
    }
    if (r < 0)
        return r;
    *ret_answer = answer;
    return 0;
}

static void answer_print(const struct plan_options *options, const struct plan_answer *answer)
{
    if (options->own.json) {
        json_t *json =
            json_pack("{s:i, s:f, s:f, s:s, s:s, s:f}", "nodes", (int)answer->nodes, "load", answer->load, "figure_ms",
                      answer->figure_ns / 1e6, "slo", options->own.slo, "policy", options->own.policy, "rate", options->own.rate);
        char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(json);
        return;
    }
    printf("%u nodes: %.1f %% load, %s is %.1f ms under %s (%u sizes tried)\n", answer->nodes, answer->load * 100,
           options->own.slo, answer->figure_ns / 1e6, options->own.policy, answer->tried);
}

/* Why as many nodes as there can be do not do. */
static void say_why_never(const struct own_plan_options *own, struct scenario *scenario, struct conf_error *ret_error)
{
    scenario->nodes = SCENARIO_NODES_MAX;
    double jobs_per_s = scenario_capacity(scenario) * 1e9, load = own->rate / jobs_per_s;
    if (load > LOAD_MAX)
        conf_error_set(ret_error,
                       "--rate %g: %u nodes, the most that are tried, can do no more than %g jobs per second: give a lower rate, "
                       "more --slots, higher --speeds or shorter jobs with --service",
                       own->rate, SCENARIO_NODES_MAX, jobs_per_s * LOAD_MAX);
    else
        conf_error_set(ret_error,
                       "%s does not hold with %u nodes either, under a load of %.3g %%: is it above what a job takes alone?",
                       own->slo, SCENARIO_NODES_MAX, load * 100);
}

static int plan_run(const struct plan_options *options, struct scenario *scenario, struct conf_error *ret_error)
{
    struct plan_answer answer;
    struct slo slo;
    const struct sim_policy *policy;
    int r = plan_limit_parse(options->own.slo, &slo, ret_error);
    if (r == 0)
        r = policy_from_name(options->own.policy, &policy, ret_error);
    if (r < 0)
        return r;
    if (!(options->own.rate > 0)) {
        conf_error_set(ret_error, "--rate: give the jobs per second, above 0");
        return -EINVAL;
    }
    scenario->jobs = options->own.jobs;
    r = sim_plan_nodes(scenario, policy, &slo, options->own.rate, &answer, ret_error);
    if (r == -ERANGE)
        say_why_never(&options->own, scenario, ret_error);
    else if (r == -ENOMEM)
        conf_error_set(ret_error, "out of memory");
    else if (r == 0)
        answer_print(options, &answer);
    return r;
}

int sim_plan_command(int argc, char *const *argv)
{
    struct plan_options options;
    struct conf_error why;
    struct scenario scenario;
    int r = conf_parse(&sim_plan_program, argc, argv, &options, NULL, &why);
    if (r == CONF_PRINTED)
        return conf_finish_output(sim_plan_program.name);
    if (r < 0)
        return sim_fail(&sim_plan_program, conf_wants_json(argc, argv), r, &why);
    r = scenario_from_options(&options.scenario, &scenario, &why);
    if (r == 0) {
        r = plan_run(&options, &scenario, &why);
        scenario_done(&scenario);
    }
    bool json = options.own.json;
    conf_done(&sim_plan_program, &options);
    return r < 0 ? sim_fail(&sim_plan_program, json, r, &why) : conf_finish_output(sim_plan_program.name);
}
