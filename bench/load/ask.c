#include "bench/load/ask.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/report.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/wire/service.h"

#define ASK_RATE_MAX 1e8
#define ASK_OUTSTANDING_MAX 4000000u /* less than LEDGER_CAPACITY_MAX */

static const struct conf_option ask_rows[] = {
#define OPTION(...) CONF_ROW(struct load_ask_options, __VA_ARGS__)
#include "bench/load/ask.def"
#undef OPTION
};

static const struct conf_table ask_tables[] = {{.title = "Options", .rows = ask_rows, .row_count = ARRAY_COUNT(ask_rows)}};

const struct conf_program load_ask_program = {
    .name = "usher-load ask",
    .summary = "loads a dispatcher with requests for addresses",
    .description =
        "Every reply is checked. Prints how many were sent, answered and lost, how long that took, and how much CPU both sides "
        "used; "
        "the run is VOID where it says more about the generator than about the dispatcher. Ctrl-C ends a run early, with its "
        "report.\n"
        "\n"
        "Ends with 3 when nothing was answered at all, with 4 when every answer was that no eligible node offers the service.",
    .man_section = 1,
    .options_bytes = sizeof(struct load_ask_options),
    .tables = ask_tables,
    .table_count = ARRAY_COUNT(ask_tables),
};

static volatile sig_atomic_t ask_interrupts;

static void ask_on_signal(int signal_number)
{
    (void)signal_number;
    if (ask_interrupts < 2)
        ask_interrupts = ask_interrupts + 1;
}

static void ask_catch_signals(void)
{
    struct sigaction action = {.sa_handler = ask_on_signal};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* 0 for max. */
static int ask_parse_rate(const char *text, double *ret_rate, struct conf_error *ret_error)
{
    char *end;
    if (text && strcmp(text, "max") == 0) {
        *ret_rate = 0;
        return 0;
    }
    double rate = text ? strtod(text, &end) : 0;
    if (!text || *end || end == text || !isfinite(rate) || rate <= 0 || rate > ASK_RATE_MAX) {
        conf_error_set(ret_error, "--rate \"%.80s\": give requests per second, such as 20000 (at most %.0f), or max",
                       text ? text : "", ASK_RATE_MAX);
        return -EINVAL;
    }
    *ret_rate = rate;
    return 0;
}

static int ask_refuse(struct conf_error *ret_error, const char *text)
{
    conf_error_set(ret_error, "%s", text);
    return -EINVAL;
}

/* Options that do not go together. */
static int ask_check(const struct load_ask_options *options, const struct engine_config *config, struct conf_error *ret_error)
{
    if (!options->service || !service_name_valid(options->service, strlen(options->service)))
        return ask_refuse(ret_error, "--service: give 1 to 63 letters, digits, dots, dashes or underscores");
    if (config->tcp && config->pack > 1)
        return ask_refuse(ret_error, "--pack is for --proto udp; over tcp --depth does the same");
    if (config->rate > 0 && options->depth > 0)
        return ask_refuse(ret_error, "--depth is for --rate max: with a rate, requests leave when they are planned to");
    if (config->rate <= 0 && config->arrivals != SCHEDULE_CONSTANT)
        return ask_refuse(ret_error, "--arrivals needs a --rate: with --rate max a request leaves when an answer has come");
    if (config->rate <= 0 && config->depth < config->pack)
        return ask_refuse(ret_error, "--depth is less than --pack: not even one datagram could be outstanding");
    if (config->requests_max % config->pack != 0)
        return ask_refuse(ret_error, "--requests must be a multiple of --pack: datagrams are sent whole");
    if (config->rate <= 0 && (uint64_t)config->connections * config->depth > ASK_OUTSTANDING_MAX)
        return ask_refuse(ret_error, "--connections times --depth is more than 4000000 requests outstanding: give less");
    if (engine_request_bytes(config) == 0)
        return ask_refuse(ret_error,
                          "--pack requests of that --count do not fit into a datagram of 1232 bytes: give less of either");
    return 0;
}

int load_ask_configure(const struct load_ask_options *options, struct engine_config *ret_config, struct conf_error *ret_error)
{
    struct engine_config config = {
        .dispatcher = options->dispatcher,
        .tcp = options->proto == 1,
        .service_id = options->service ? service_id(options->service, strlen(options->service)) : 0,
        .count = (uint8_t)options->count,
        .arrivals = options->arrivals == 0 ? SCHEDULE_CONSTANT : SCHEDULE_POISSON,
        .seed = options->seed,
        .connections = options->connections,
        .depth = options->depth > 0 ? options->depth : options->pack,
        .pack = options->pack,
        .warmup_ns = options->warmup_ns,
        .duration_ns = options->duration_ns,
        .timeout_ns = options->reply_timeout_ns,
        .requests_max = options->requests,
        .server_pid = (pid_t)options->server_pid,
    };
    int error = ask_parse_rate(options->rate, &config.rate, ret_error);
    if (error == 0)
        error = ask_check(options, &config, ret_error);
    if (error == 0)
        *ret_config = config;
    return error;
}

/* For what fails before the options are read. */
static bool ask_wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int ask_load(const struct load_ask_options *options)
{
    struct engine_config config;
    struct conf_error why;
    struct random_state random;
    if (load_ask_configure(options, &config, &why) < 0)
        return load_report_failure(options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    if (config.server_pid > 0 && kill(config.server_pid, 0) < 0 && errno == ESRCH) {
        conf_error_set(&why, "--server-pid %d: there is no such process", (int)config.server_pid);
        return load_report_failure(options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    }
    struct engine_result *result = calloc(1, sizeof(*result));
    if (!result) {
        conf_error_set(&why, "out of memory");
        return load_report_failure(options->json, "ENOMEM", &why, EXIT_CODE_FAILED);
    }
    random_init_from_kernel(&random);
    while (config.seed == 0)
        config.seed = random_next(&random);
    if (config.server_pid == 0)
        config.server_pid = cpu_find_server(&config.dispatcher, config.tcp);
    config.progress = isatty(STDERR_FILENO) == 1;
    ask_catch_signals();
    int error = engine_run(&config, &ask_interrupts, result, &why);
    bool unreachable = error == -ECONNREFUSED || error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH;
    int exit_code = error < 0 ? load_report_failure(options->json, error_name(error), &why,
                                                    unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED)
                              : load_report_print(&config, result, options->json);
    free(result);
    return exit_code;
}

int load_ask_command(int argc, char *const *argv)
{
    struct load_ask_options options;
    struct conf_error why;
    int error = conf_parse(&load_ask_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return EXIT_CODE_OK;
    if (error < 0)
        return load_report_failure(ask_wants_json(argc, argv), "EINVAL", &why, EXIT_CODE_USAGE);
    int exit_code = ask_load(&options);
    conf_done(&load_ask_program, &options);
    return exit_code;
}
