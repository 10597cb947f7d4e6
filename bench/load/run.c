#include "bench/load/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/report.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/wire/service.h"

#define RUN_SERVICE_TIME_DEFAULT "10ms"
#define RUN_CONNECTIONS_DEFAULT 16u
#define RUN_NODES_PRINTED_MAX 32u

static const struct conf_option run_rows[] = {
#define OPTION(...) CONF_ROW(struct load_run_options, __VA_ARGS__)
#include "bench/load/run.def"
#undef OPTION
};

static const struct conf_table run_tables[] = {{.title = "Options", .rows = run_rows, .row_count = ARRAY_COUNT(run_rows)}};

const struct conf_program load_run_program = {
    .name = "usher-load run",
    .summary = "loads dispatchers and nodes with whole jobs",
    .description =
        "Every job asks a dispatcher for a node, goes there over TCP, and waits for its result; nodes have one connection each, "
        "that "
        "all jobs share. Prints how many jobs were done, refused and lost, how long they took from the planned time of the ask "
        "to the "
        "result, and what each node's share was. Ctrl-C ends a run early, with its report.\n"
        "\n"
        "Ends with 3 when nothing came back at all, with 4 when every answer was that no eligible node offers the service.",
    .man_section = 1,
    .options_bytes = sizeof(struct load_run_options),
    .tables = run_tables,
    .table_count = ARRAY_COUNT(run_tables),
};

/* The duration of a job, where the service is one that takes such. */
static int run_take_service(const struct load_run_options *options, struct jobs_config *config, struct conf_error *ret_error)
{
    if (!options->service || !service_name_valid(options->service, strlen(options->service)))
        return load_refuse(ret_error, "--service: give 1 to 63 letters, digits, dots, dashes or underscores");
    config->service_id = service_id(options->service, strlen(options->service));
    config->timed = strcmp(options->service, "sleep") == 0 || strcmp(options->service, "spin") == 0;
    config->echoed = strcmp(options->service, "echo") == 0;
    config->sized = strcmp(options->service, "blob") == 0;
    if (config->timed && options->data_size > 0)
        return load_refuse(ret_error, "--data-size is not for --service sleep and spin, whose data is the --service-time");
    if (!config->timed && options->service_time)
        return load_refuse(ret_error, "--service-time is for --service sleep and spin: others take as long as they take");
    const char *text = options->service_time ? options->service_time : RUN_SERVICE_TIME_DEFAULT;
    if (config->timed && distribution_parse(text, &config->service_time) < 0) {
        conf_error_set(ret_error, "--service-time \"%.80s\": give 10ms, 5ms..20ms, exp:10ms or pareto:1.5:10ms, an hour at most",
                       text);
        return -EINVAL;
    }
    return 0;
}

static int run_check(const struct load_run_options *options, const struct jobs_config *config, struct conf_error *ret_error)
{
    if (config->rate > 0 && options->depth > 0)
        return load_refuse(ret_error, "--depth is for --rate max: with a rate, jobs begin when they are planned to");
    if (config->rate <= 0 && config->arrivals != SCHEDULE_CONSTANT)
        return load_refuse(ret_error, "--arrivals needs a --rate: with --rate max a job begins when a result has come");
    if (config->connections < config->dispatcher_count)
        return load_refuse(ret_error, "--connections is less than there are dispatchers: give at least one for each");
    return 0;
}

int load_run_configure(const struct load_run_options *options, struct jobs_config *ret_config, struct conf_error *ret_error)
{
    struct jobs_config config = {
        .tcp = options->proto == 1,
        .data_bytes = options->data_size,
        .arrivals = options->arrivals == 0 ? SCHEDULE_CONSTANT : SCHEDULE_POISSON,
        .seed = options->seed,
        .connections = options->connections,
        .depth = options->depth > 0 ? options->depth : 1,
        .warmup_ns = options->warmup_ns,
        .duration_ns = options->duration_ns,
        .timeout_ns = options->reply_timeout_ns,
        .requests_max = options->requests,
    };
    int error = load_take_dispatchers(&options->dispatchers, config.dispatchers, &config.dispatcher_count, ret_error);
    if (config.connections == 0)
        config.connections =
            config.dispatcher_count > RUN_CONNECTIONS_DEFAULT ? config.dispatcher_count : RUN_CONNECTIONS_DEFAULT;
    if (error == 0)
        error = sources_take(&options->bind_ips, config.dispatchers, config.dispatcher_count, &config.sources, ret_error);
    if (error == 0)
        error = load_parse_rate(options->rate, &config.rate, ret_error);
    if (error == 0)
        error = run_take_service(options, &config, ret_error);
    if (error == 0)
        error = run_check(options, &config, ret_error);
    if (error == 0)
        *ret_config = config;
    return error;
}

static json_t *run_settings(const struct load_run_options *options, const struct jobs_config *config)
{
    char address[ADDRESS_TEXT_BYTES];
    json_t *dispatchers = json_array();
    for (uint32_t i = 0; i < config->dispatcher_count; i++)
        json_array_append_new(dispatchers, json_string(address_format(&config->dispatchers[i], address)));
    json_t *settings =
        json_pack("{s:o, s:s, s:s, s:s, s:I, s:f}", "dispatchers", dispatchers, "proto", config->tcp ? "tcp" : "udp", "loop",
                  config->rate > 0 ? "open" : "closed", "service", options->service, "connections",
                  (json_int_t)config->connections, "reply_timeout_s", (double)config->timeout_ns / (double)NS_PER_S);
    if (config->timed)
        json_object_set_new(settings, "service_time",
                            json_string(options->service_time ? options->service_time : RUN_SERVICE_TIME_DEFAULT));
    else
        json_object_set_new(settings, "data_size", json_integer((json_int_t)config->data_bytes));
    if (config->rate > 0) {
        json_object_set_new(settings, "rate", json_real(config->rate));
        json_object_set_new(settings, "arrivals", json_string(config->arrivals == SCHEDULE_POISSON ? "poisson" : "constant"));
    } else {
        json_object_set_new(settings, "depth", json_integer((json_int_t)config->depth));
    }
    return settings;
}

static json_t *run_more(const struct load_run_options *options, const struct jobs_config *config,
                        const struct jobs_result *result)
{
    char address[ADDRESS_TEXT_BYTES];
    json_t *nodes = json_object(), *refused = json_object();
    for (uint32_t i = 0; i < result->node_count; i++) {
        const struct jobs_node_result *node = &result->nodes[i];
        json_object_set_new(nodes, address_format(&node->address, address), json_integer((json_int_t)node->jobs));
        if (node->refused > 0)
            json_object_set_new(refused, address, json_integer((json_int_t)node->refused));
    }
    return json_pack("{s:I, s:{s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o}", "busy", (json_int_t)result->busy, "lost_by_stage",
                     "asking", (json_int_t)result->lost_asking, "running", (json_int_t)result->lost_running, "ask_us",
                     load_report_spectrum(&result->ask_us, 1), "waited_us", load_report_spectrum(&result->waited_us, 1), "ran_us",
                     load_report_spectrum(&result->ran_us, 1), "nodes", nodes, "refused_by_node", refused, "settings",
                     run_settings(options, config));
}

static void run_print_spectrum(const char *name, const struct histogram *histogram_us)
{
    char mean[LOAD_REPORT_TIME_BYTES], middle[LOAD_REPORT_TIME_BYTES], high[LOAD_REPORT_TIME_BYTES];
    if (histogram_us->total == 0)
        return;
    printf("%-9s mean %s, p50 %s, p99 %s\n", name, load_report_time(histogram_mean(histogram_us), mean),
           load_report_time((double)histogram_quantile(histogram_us, 0.5), middle),
           load_report_time((double)histogram_quantile(histogram_us, 0.99), high));
}

static void run_print_more(const void *context)
{
    const struct jobs_result *result = context;
    char address[ADDRESS_TEXT_BYTES];
    uint64_t jobs = 0; /* that nodes did: those whose result came too late to be answered among them */
    for (uint32_t i = 0; i < result->node_count; i++)
        jobs += result->nodes[i].jobs;
    if (result->base.tally.lost > 0)
        printf("lost      %" PRIu64 " before a node was named, %" PRIu64 " after\n", result->lost_asking, result->lost_running);
    run_print_spectrum("asking", &result->ask_us);
    run_print_spectrum("queued", &result->waited_us);
    run_print_spectrum("running", &result->ran_us);
    for (uint32_t i = 0; i < result->node_count && i < RUN_NODES_PRINTED_MAX; i++) {
        const struct jobs_node_result *node = &result->nodes[i];
        printf("%s %-21s %10" PRIu64 " jobs, %5.1f %%; %" PRIu64 " refused\n", i == 0 ? "nodes    " : "         ",
               address_format(&node->address, address), node->jobs, jobs > 0 ? 100 * (double)node->jobs / (double)jobs : 0,
               node->refused);
    }
    if (result->node_count > RUN_NODES_PRINTED_MAX)
        printf("          and %u more (--json has all)\n", result->node_count - RUN_NODES_PRINTED_MAX);
}

static int run_report(const struct load_run_options *options, const struct jobs_config *config, const struct slo *slo, FILE *hdr,
                      const struct jobs_result *result)
{
    struct load_report report = {
        .program = load_run_program.name,
        .what = "jobs",
        .open_loop = config->rate > 0,
        .result = &result->base,
        .slo = slo,
        .hdr = hdr,
        .more = run_more(options, config, result),
        .print_more = run_print_more,
        .context = result,
    };
    return load_report_print(&report, options->json);
}

static int run_load(const struct load_run_options *options)
{
    struct jobs_config config;
    struct cpu_servers servers;
    struct slo slo;
    FILE *hdr;
    struct conf_error why;
    if (load_run_configure(options, &config, &why) < 0 || slo_parse(options->slo, options->reply_timeout_ns, &slo, &why) < 0 ||
        load_find_servers(options->server_pid, config.dispatchers, config.dispatcher_count, config.tcp, &servers, &why) < 0)
        return load_report_failure(load_run_program.name, options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    struct jobs_result *result = calloc(1, sizeof(*result));
    if (!result) {
        conf_error_set(&why, "out of memory");
        return load_report_failure(load_run_program.name, options->json, "ENOMEM", &why, EXIT_CODE_FAILED);
    }
    if (load_report_open(options->hdr, &hdr, &why) < 0) {
        free(result);
        return load_report_failure(load_run_program.name, options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    }
    config.seed = load_seed(config.seed);
    int error = jobs_run(&config, &servers, isatty(STDERR_FILENO) == 1, load_catch_signals(), result, &why);
    int exit_code = error < 0 ? load_report_failure(load_run_program.name, options->json, error_name(error), &why,
                                                    load_failure_exit_code(error))
                              : run_report(options, &config, &slo, hdr, result);
    if (error < 0 && hdr)
        fclose(hdr);
    jobs_result_done(result);
    free(result);
    return exit_code;
}

int load_run_command(int argc, char *const *argv)
{
    struct load_run_options options;
    struct conf_error why;
    int error = conf_parse(&load_run_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return EXIT_CODE_OK;
    if (error < 0)
        return load_report_failure(load_run_program.name, conf_wants_json(argc, argv), "EINVAL", &why, EXIT_CODE_USAGE);
    int exit_code = run_load(&options);
    conf_done(&load_run_program, &options);
    return exit_code;
}
