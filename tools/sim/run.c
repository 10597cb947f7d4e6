#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/exit_code.h"
#include "tools/sim/command.h"
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

static int run_all(const struct run_options *options, const struct scenario *scenario, const struct chosen_policies *chosen)
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
    return conf_finish_output(sim_run_program.name);
}

static int run_checked(const struct run_options *options, struct scenario *scenario, const struct chosen_policies *chosen)
{
    struct conf_error why;
    const char *path = options->own.plot;
    scenario->nodes = options->own.nodes;
    scenario->jobs = options->own.jobs;
    scenario_set_load(scenario, options->own.load);
    if (path == NULL)
        return run_all(options, scenario, chosen);
    if (plot_possible(path, &why) < 0)
        return conf_fail(sim_run_program.name, &why);
    if (plot_draw(scenario, (enum plot_over)options->own.plot_over, chosen, path, &why) < 0) {
        fprintf(stderr, "%s: %s\n", sim_run_program.name, why.text);
        return EXIT_CODE_FAILED;
    }
    printf("%s: p99 of %u policies over %s\n", path, chosen->count, options->own.plot_over == PLOT_OVER_LOAD ? "load" : "age");
    return conf_finish_output(sim_run_program.name);
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
        return conf_fail(sim_run_program.name, &why);
    int exit_code;
    if (policies_from_names(&options.own.policies, &chosen, &why) < 0 ||
        scenario_from_options(&options.scenario, &scenario, &why) < 0) {
        exit_code = conf_fail(sim_run_program.name, &why);
    } else {
        exit_code = run_checked(&options, &scenario, &chosen);
        scenario_done(&scenario);
    }
    conf_done(&sim_run_program, &options);
    return exit_code;
}
