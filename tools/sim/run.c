#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sim/command.h"
#include "tools/sim/effort.h"
#include "tools/sim/failure.h"
#include "tools/sim/plot.h"
#include "tools/sim/world.h"

struct own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tools/sim/run.def"
#undef OPTION
};

struct run_options {
    struct scenario_options scenario;
    struct own_options own;
};

static const struct conf_option own_rows[] = {
#define OPTION(...) CONF_ROW(struct own_options, __VA_ARGS__)
#include "tools/sim/run.def"
#undef OPTION
};

static const struct conf_table run_tables[] = {
    {.title = "Options", .rows = own_rows, .row_count = ARRAY_COUNT(own_rows), .offset = offsetof(struct run_options, own)},
    {.title = "What is simulated",
     .rows = scenario_rows,
     .row_count = SCENARIO_ROWS,
     .offset = offsetof(struct run_options, scenario)},
};

const struct conf_program sim_run_program = {
    .name = "usher-sim",
    .summary = "simulates placement policies on a cluster and compares them with an all-knowing one",
    .description =
        "Discrete events in virtual time. Policies called the product's run its own code on the reports of its own load "
        "evaluation; the others are references. Times are in units of the mean service time.\n\n"
        "usher-sim plan --slo LIMIT --rate N says how many nodes a load needs: see usher-sim plan --help.",
    .man_section = 1,
    .options_bytes = sizeof(struct run_options),
    .tables = run_tables,
    .table_count = ARRAY_COUNT(run_tables),
};

struct result {
    const struct sim_policy *policy;
    struct outcome outcome;
};

static json_t *result_to_json(const struct result *result, const struct outcome *oracle)
{
    const struct outcome *outcome = &result->outcome;
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "policy", result->policy->name, "mean", outcome->mean,
                     "p50", outcome->p50, "p99", outcome->p99, "p999", outcome->p999, "p99_over_oracle",
                     outcome->p99 / oracle->p99, "p999_over_oracle", outcome->p999 / oracle->p999, "messages_per_node_s",
                     outcome->messages_per_node_s, "tokens_per_node_s", outcome->tokens_per_node_s);
}

static void result_print(const struct result *result, const struct outcome *oracle)
{
    const struct outcome *outcome = &result->outcome;
    printf("%-20s %8.2f %8.2f %8.2f %8.2f %10.2f %10.1f\n", result->policy->name, outcome->mean, outcome->p50, outcome->p99,
           outcome->p999, outcome->p99 / oracle->p99, outcome->messages_per_node_s);
}

static void result_show(const struct run_options *options, json_t *results, const struct result *result,
                        const struct outcome *oracle)
{
    if (options->own.json) {
        json_array_append_new(results, result_to_json(result, oracle));
        return;
    }
    result_print(result, oracle);
    fflush(stdout);
}

#define TABLE_HEAD "%-20s %8s %8s %8s %8s %10s %10s\n"

static void print_json(json_t *results)
{
    char *text = json_dumps(results, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("%s\n", text ? text : "{}");
    free(text);
}

static void run_all(const struct run_options *options, const struct scenario *scenario, const struct chosen_policies *chosen)
{
    struct result oracle = {.policy = sim_policy_find("oracle")};
    world_run(scenario, oracle.policy, &oracle.outcome);
    json_t *results = json_array();
    if (!options->own.json)
        printf(TABLE_HEAD, "policy", "mean", "p50", "p99", "p99.9", "p99/oracle", "msg/node/s");
    result_show(options, results, &oracle, &oracle.outcome);
    for (uint32_t i = 0; i < chosen->count; i++) {
        struct result result = {.policy = chosen->item[i]};
        if (result.policy == oracle.policy)
            continue;
        world_run(scenario, result.policy, &result.outcome);
        result_show(options, results, &result, &oracle.outcome);
    }
    if (options->own.json) {
        json_t *whole =
            json_pack("{s:I, s:I, s:f, s:f, s:o}", "seed", (json_int_t)scenario->seed, "jobs", (json_int_t)scenario->jobs, "load",
                      scenario->load, "mean_service_s", scenario->service.mean_ns * 1e-9, "policies", results);
        print_json(whole);
        json_decref(whole);
    } else {
        json_decref(results);
    }
}

static json_t *plot_to_json(const struct plot *plot)
{
    json_t *lines = json_array();
    for (uint32_t i = 0; i < plot->line_count; i++) {
        json_t *points = json_array();
        for (uint32_t point = 0; point < plot->point_count; point++)
            json_array_append_new(points, json_pack("{s:f, s:f}", plot->over == PLOT_OVER_LOAD ? "load" : "age", plot->at[point],
                                                    "p99_over_oracle", plot->line[i].p99_over_oracle[point]));
        json_array_append_new(lines, json_pack("{s:s, s:o}", "policy", plot->line[i].policy->name, "points", points));
    }
    return lines;
}

static void plot_show(const struct run_options *options, const struct plot *plot)
{
    const char *over = plot->over == PLOT_OVER_LOAD ? "load" : "age";
    if (!options->own.json) {
        printf("%s: p99 of %u %s over %s\n", options->own.plot, plot->line_count, plot->line_count == 1 ? "policy" : "policies",
               over);
        return;
    }
    json_t *whole =
        json_pack("{s:I, s:I, s:s, s:s, s:o}", "seed", (json_int_t)options->scenario.seed, "jobs", (json_int_t)options->own.jobs,
                  "plot", options->own.plot, "over", over, "policies", plot_to_json(plot));
    print_json(whole);
    json_decref(whole);
}

static int run_plot(const struct run_options *options, struct scenario *scenario, const struct chosen_policies *chosen,
                    struct conf_error *ret_error)
{
    struct plot plot;
    const char *over = options->own.plot_over;
    enum plot_over what = over != NULL && strcmp(over, "age") == 0 ? PLOT_OVER_AGE : PLOT_OVER_LOAD;
    int r = effort_check(sim_run_program.name, scenario, plot_effort(scenario, what, chosen), ret_error);
    if (r < 0)
        return r;
    if (plot_possible(options->own.plot, ret_error) < 0)
        return -EINVAL;
    r = plot_draw(scenario, what, chosen, options->own.plot, &plot, ret_error);
    if (r == 0)
        plot_show(options, &plot);
    return r;
}

static int run_checked(const struct run_options *options, struct scenario *scenario, const struct chosen_policies *chosen,
                       struct conf_error *ret_error)
{
    scenario->nodes = options->own.nodes;
    scenario->jobs = options->own.jobs;
    scenario_set_load(scenario, options->own.load);
    if (options->own.plot != NULL)
        return run_plot(options, scenario, chosen, ret_error);
    if (options->own.plot_over != NULL) {
        conf_error_set(ret_error, "--plot-over %s: there is no plot; add --plot FILE.svg", options->own.plot_over);
        return -EINVAL;
    }
    const struct sim_policy *oracle = sim_policy_find("oracle");
    double effort_s = effort_of(scenario, oracle);
    for (uint32_t i = 0; i < chosen->count; i++)
        effort_s += chosen->item[i] == oracle ? 0 : effort_of(scenario, chosen->item[i]);
    int r = effort_check(sim_run_program.name, scenario, effort_s, ret_error);
    if (r == 0)
        run_all(options, scenario, chosen);
    return r;
}

int sim_run_command(int argc, char *const *argv)
{
    struct run_options options;
    struct conf_error why;
    struct scenario scenario;
    struct chosen_policies chosen;
    int r = conf_parse(&sim_run_program, argc, argv, &options, NULL, &why);
    if (r == CONF_PRINTED)
        return conf_finish_output(sim_run_program.name);
    if (r < 0)
        return sim_fail(&sim_run_program, conf_wants_json(argc, argv), r, &why);
    r = policies_from_names(&options.own.policies, &chosen, &why);
    if (r == 0)
        r = scenario_from_options(&options.scenario, &scenario, &why);
    if (r == 0) {
        r = run_checked(&options, &scenario, &chosen, &why);
        scenario_done(&scenario);
    }
    bool json = options.own.json;
    conf_done(&sim_run_program, &options);
    return r < 0 ? sim_fail(&sim_run_program, json, r, &why) : conf_finish_output(sim_run_program.name);
}
