#include "bench/load/ask.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/report.h"
#include "bench/load/team.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/wire/service.h"

#define ASK_RATE_MAX 1e8
#define ASK_OUTSTANDING_MAX 4000000u /* less than LEDGER_CAPACITY_MAX */
#define ASK_DNS_OUTSTANDING_MAX 65536u

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

/* What only some kinds of servers understand. */
static int ask_check_proto(const struct load_ask_options *options, const struct engine_config *config,
                           struct conf_error *ret_error)
{
    bool usher = config->proto == ENGINE_UDP || config->proto == ENGINE_TCP;
    if (!options->service || !service_name_valid(options->service, strlen(options->service)))
        return ask_refuse(ret_error, "--service: give 1 to 63 letters, digits, dots, dashes or underscores");
    if (config->echo && !usher)
        return ask_refuse(ret_error, "--echo is for --proto udp and tcp");
    if (config->proto == ENGINE_DNS && !config->query)
        return ask_refuse(ret_error, "--proto dns needs the name to ask for: give --query NAME");
    if (config->proto != ENGINE_DNS && config->query)
        return ask_refuse(ret_error, "--query is for --proto dns");
    if (config->proto == ENGINE_RESP && !config->command)
        return ask_refuse(ret_error, "--proto resp needs the command to send: give one such as --command 'GET key'");
    if (config->proto != ENGINE_RESP && config->command)
        return ask_refuse(ret_error, "--command is for --proto resp");
    if (config->node_count > 0 && (!usher || config->echo))
        return ask_refuse(ret_error, "--nodes is for dispatchers, over --proto udp or tcp");
    if (config->gso && config->proto != ENGINE_UDP)
        return ask_refuse(ret_error, "--gso is for --proto udp");
    if (config->pack > 1 && config->proto != ENGINE_UDP)
        return ask_refuse(ret_error, "--pack is for --proto udp; over tcp --depth does the same");
    return 0;
}

/* How the requests are sent. */
static int ask_check_load(const struct load_ask_options *options, const struct engine_config *config,
                          struct conf_error *ret_error)
{
    if (config->rate > 0 && options->depth > 0 && !config->gso)
        return ask_refuse(ret_error, "--depth is for --rate max: with a rate, requests leave when they are planned to");
    if (config->rate <= 0 && config->arrivals != SCHEDULE_CONSTANT)
        return ask_refuse(ret_error, "--arrivals needs a --rate: with --rate max a request leaves when an answer has come");
    if (config->gso && config->depth % config->group != 0)
        return ask_refuse(
            ret_error, "--gso: --depth must fill super-datagrams: give --pack times 1 to 64, or a multiple of 64 times --pack");
    if (config->rate <= 0 && config->depth < config->pack)
        return ask_refuse(ret_error, "--depth is less than --pack: not even one datagram could be outstanding");
    if (config->requests_max % config->group != 0)
        return ask_refuse(
            ret_error, config->gso
                           ? "--requests must be a multiple of --depth (64 times --pack at most): super-datagrams are sent whole"
                           : "--requests must be a multiple of --pack: datagrams are sent whole");
    if (config->rate <= 0 && (uint64_t)config->connections * config->depth > ASK_OUTSTANDING_MAX)
        return ask_refuse(ret_error, "--connections times --depth is more than 4000000 requests outstanding: give less");
    if (config->rate <= 0 && config->proto == ENGINE_DNS &&
        (uint64_t)config->connections * config->depth > (uint64_t)config->threads * ASK_DNS_OUTSTANDING_MAX)
        return ask_refuse(ret_error,
                          "--connections times --depth is more than 65536 queries outstanding per thread, all that DNS can "
                          "tell apart: give less");
    if (config->connections < config->threads)
        return ask_refuse(ret_error, "--threads: each needs a connection: give more --connections");
    if (config->connections < config->server_count)
        return ask_refuse(ret_error, "--connections is less than there are dispatchers: give at least one for each");
    return 0;
}

/* Names the servers, -EINVAL when there are none or too many. */
static int ask_take_servers(const struct conf_addresses *servers, struct engine_config *config, struct conf_error *ret_error)
{
    if (servers->count == 0)
        return ask_refuse(ret_error, "--dispatcher must be given");
    if (servers->count > ENGINE_SERVERS_MAX)
        return ask_refuse(ret_error, "--dispatcher: give 64 at most");
    config->server_count = servers->count;
    memcpy(config->servers, servers->item, servers->count * sizeof(*servers->item));
    return 0;
}

int load_ask_configure(const struct load_ask_options *options, struct engine_config *ret_config, struct conf_error *ret_error)
{
    struct engine_config config = {
        .proto = (enum engine_proto)options->proto,
        .echo = options->echo,
        .gso = options->gso,
        .spin = options->spin,
        .stream = options->proto == ENGINE_TCP || options->proto == ENGINE_RESP,
        .service_id = options->service ? service_id(options->service, strlen(options->service)) : 0,
        .count = (uint8_t)options->count,
        .nodes = options->nodes.item,
        .node_count = options->nodes.count,
        .query = options->query,
        .query_type = (enum engine_query)options->query_type,
        .command = options->command,
        .arrivals = options->arrivals == 0 ? SCHEDULE_CONSTANT : SCHEDULE_POISSON,
        .seed = options->seed,
        .threads = options->threads,
        .connections = options->connections,
        .depth = options->depth > 0 ? options->depth : options->pack * (options->gso ? ENGINE_SEGMENTS_MAX : 1),
        .pack = options->pack,
        .warmup_ns = options->warmup_ns,
        .duration_ns = options->duration_ns,
        .timeout_ns = options->reply_timeout_ns,
        .requests_max = options->requests,
    };
    config.segments = config.gso && config.depth > config.pack ? config.depth / config.pack : 1;
    if (config.segments > ENGINE_SEGMENTS_MAX)
        config.segments = ENGINE_SEGMENTS_MAX;
    config.group = config.pack * config.segments;
    int error = ask_take_servers(&options->dispatchers, &config, ret_error);
    if (error == 0)
        error = ask_parse_rate(options->rate, &config.rate, ret_error);
    if (error == 0)
        error = ask_check_proto(options, &config, ret_error);
    if (error == 0)
        error = ask_check_load(options, &config, ret_error);
    if (error == 0)
        error = engine_request_bytes(&config, ret_error);
    if (error < 0)
        return -EINVAL;
    *ret_config = config;
    return 0;
}

/* For what fails before the options are read. */
static bool ask_wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

static int ask_find_servers(const struct load_ask_options *options, const struct engine_config *config,
                            struct team_servers *ret_servers, struct conf_error *ret_error)
{
    *ret_servers = (struct team_servers){0};
    if (options->server_pid > 0) {
        if (kill((pid_t)options->server_pid, 0) < 0 && errno == ESRCH) {
            conf_error_set(ret_error, "--server-pid %u: there is no such process", options->server_pid);
            return -EINVAL;
        }
        *ret_servers = (struct team_servers){.count = 1, .pid[0] = (pid_t)options->server_pid};
        return 0;
    }
    for (uint32_t i = 0; i < config->server_count; i++) {
        pid_t pid = cpu_find_server(&config->servers[i], config->stream);
        bool new = pid > 0;
        for (uint32_t j = 0; j < ret_servers->count; j++)
            new = new && ret_servers->pid[j] != pid;
        if (new)
            ret_servers->pid[ret_servers->count++] = pid;
        if (pid == 0) { /* a part of the CPU would be taken for all of it */
            ret_servers->count = 0;
            return 0;
        }
    }
    return 0;
}

static int ask_load(const struct load_ask_options *options)
{
    struct engine_config config;
    struct team_servers servers;
    struct conf_error why;
    struct random_state random;
    if (load_ask_configure(options, &config, &why) < 0 || ask_find_servers(options, &config, &servers, &why) < 0)
        return load_report_failure(options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    struct team_result *result = calloc(1, sizeof(*result));
    if (!result) {
        conf_error_set(&why, "out of memory");
        return load_report_failure(options->json, "ENOMEM", &why, EXIT_CODE_FAILED);
    }
    random_init_from_kernel(&random);
    while (config.seed == 0)
        config.seed = random_next(&random);
    ask_catch_signals();
    int error = team_run(&config, &servers, isatty(STDERR_FILENO) == 1, &ask_interrupts, result, &why);
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
