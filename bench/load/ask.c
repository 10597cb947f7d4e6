#include "bench/load/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/service_turn.h"
#include "bench/load/team.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/wire/service.h"

#define ASK_OUTSTANDING_MAX 4000000u /* less than LEDGER_CAPACITY_MAX */
#define ASK_DNS_OUTSTANDING_MAX 65536u
#define ASK_SERVICE_DEFAULT "echo"

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
        "Ends with 3 when nothing came back at all, with 4 when every answer was that no eligible node offers the service.",
    .man_section = 1,
    .options_bytes = sizeof(struct load_ask_options),
    .tables = ask_tables,
    .table_count = ARRAY_COUNT(ask_tables),
};

/* What only some kinds of servers understand. */
static int ask_check_proto(const struct load_ask_options *options, const struct engine_config *config,
                           struct conf_error *ret_error)
{
    bool usher = config->proto == ENGINE_UDP || config->proto == ENGINE_TCP;
    if (options->service && !service_name_valid(options->service, strlen(options->service)))
        return load_refuse(ret_error, "--service: give 1 to 63 letters, digits, dots, dashes or underscores");
    if (config->echo && !usher)
        return load_refuse(ret_error, "--echo is for --proto udp and tcp");
    if (options->service && config->echo)
        return load_refuse(ret_error, "--service is for dispatchers: with --echo nobody looks for a service");
    if (options->service && !usher)
        return load_refuse(ret_error, "--service is for dispatchers, over --proto udp or tcp");
    if (config->service_count > 1 && (!usher || config->echo))
        return load_refuse(ret_error, "--services is for dispatchers, over --proto udp or tcp");
    if (!service_turn_valid(config->service, config->service_count))
        return load_refuse(ret_error, "--services: the last one's name, --service with its number, has more than 63 characters");
    if (config->count > 1 && !usher)
        return load_refuse(ret_error, "--count is for dispatchers, over --proto udp or tcp");
    if (config->query_type != ENGINE_QUERY_A && config->proto != ENGINE_DNS)
        return load_refuse(ret_error, "--query-type is for --proto dns");
    if (config->proto == ENGINE_DNS && !config->query)
        return load_refuse(ret_error, "--proto dns needs the name to ask for: give --query NAME");
    if (config->proto != ENGINE_DNS && config->query)
        return load_refuse(ret_error, "--query is for --proto dns");
    if (config->proto == ENGINE_RESP && !config->command)
        return load_refuse(ret_error, "--proto resp needs the command to send: give one such as --command 'GET key'");
    if (config->proto != ENGINE_RESP && config->command)
        return load_refuse(ret_error, "--command is for --proto resp");
    if (config->node_count > 0 && (!usher || config->echo))
        return load_refuse(ret_error, "--nodes is for dispatchers, over --proto udp or tcp");
    if (config->gso && config->proto != ENGINE_UDP)
        return load_refuse(ret_error, "--gso is for --proto udp");
    if (config->pack > 1 && config->proto != ENGINE_UDP)
        return load_refuse(ret_error, config->proto == ENGINE_DNS ? "--pack is for --proto udp: a datagram of DNS holds one query"
                                                                  : "--pack is for --proto udp: over TCP --depth does the same");
    return 0;
}

/* How the requests are sent. */
static int ask_check_load(const struct load_ask_options *options, const struct engine_config *config,
                          struct conf_error *ret_error)
{
    if (config->rate > 0 && options->depth > 0 && !config->gso)
        return load_refuse(ret_error, "--depth is for --rate max: with a rate, requests leave when they are planned to");
    if (config->rate <= 0 && config->arrivals != SCHEDULE_CONSTANT)
        return load_refuse(ret_error, "--arrivals needs a --rate: with --rate max a request leaves when an answer has come");
    if (config->gso && config->depth % config->group != 0)
        return load_refuse(
            ret_error, "--gso: --depth must fill super-datagrams: give --pack times 1 to 64, or a multiple of 64 times --pack");
    if (config->rate <= 0 && config->depth < config->pack)
        return load_refuse(ret_error, "--depth is less than --pack: not even one datagram could be outstanding");
    if (config->requests_max % config->group != 0)
        return load_refuse(
            ret_error, config->gso
                           ? "--requests must be a multiple of what a super-datagram holds, --depth or 64 times --pack (without "
                             "--depth as many as fit): they are sent whole"
                           : "--requests must be a multiple of --pack: datagrams are sent whole");
    if (config->rate <= 0 && (uint64_t)config->connections * config->depth > ASK_OUTSTANDING_MAX)
        return load_refuse(ret_error, "--connections times --depth is more than 4000000 requests outstanding: give less");
    if (config->rate <= 0 && config->proto == ENGINE_DNS &&
        (uint64_t)config->connections * config->depth > (uint64_t)config->threads * ASK_DNS_OUTSTANDING_MAX)
        return load_refuse(ret_error,
                           "--connections times --depth is more than 65536 queries outstanding per thread, all that DNS can "
                           "tell apart: give less");
    if (config->connections < config->threads)
        return load_refuse(ret_error, "--threads: each needs a connection: give more --connections");
    if (config->connections < config->server_count)
        return load_refuse(ret_error, "--connections is less than there are dispatchers: give at least one for each");
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
        .service = options->service ? options->service : ASK_SERVICE_DEFAULT,
        .service_count = options->services,
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
        .depth = options->depth,
        .pack = options->pack,
        .warmup_ns = options->warmup_ns,
        .duration_ns = options->duration_ns,
        .timeout_ns = options->reply_timeout_ns,
        .requests_max = options->requests,
    };
    if (config.depth == 0)
        config.depth = config.pack * (config.gso && config.proto == ENGINE_UDP ? engine_segments_fit(&config) : 1);
    config.segments = config.gso && config.depth > config.pack ? config.depth / config.pack : 1;
    if (config.segments > ENGINE_SEGMENTS_MAX)
        config.segments = ENGINE_SEGMENTS_MAX;
    config.group = config.pack * config.segments;
    int error = load_take_dispatchers(&options->dispatchers, config.servers, &config.server_count, ret_error);
    if (error == 0)
        error = sources_take(&options->bind_ips, config.servers, config.server_count, &config.sources, ret_error);
    if (error == 0)
        error = load_parse_rate(options->rate, &config.rate, ret_error);
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

static const char *const ask_protos[] = {"udp", "tcp", "dns", "resp"};

static json_t *ask_settings(const struct engine_config *config)
{
    char address[ADDRESS_TEXT_BYTES];
    json_t *dispatchers = json_array();
    for (uint32_t i = 0; i < config->server_count; i++)
        json_array_append_new(dispatchers, json_string(address_format(&config->servers[i], address)));
    json_t *settings = json_pack("{s:o, s:s, s:b, s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:f}", "dispatchers", dispatchers, "proto",
                                 ask_protos[config->proto], "echo", config->echo, "loop", config->rate > 0 ? "open" : "closed",
                                 "connections", (json_int_t)config->connections, "threads", (json_int_t)config->threads, "pack",
                                 (json_int_t)config->pack, "gso", config->gso, "spin", config->spin, "count",
                                 (json_int_t)config->count, "reply_timeout_s", (double)config->timeout_ns / (double)NS_PER_S);
    if (config->service_count > 1)
        json_object_set_new(settings, "services", json_integer((json_int_t)config->service_count));
    if (config->rate > 0) {
        json_object_set_new(settings, "rate", json_real(config->rate));
        json_object_set_new(settings, "arrivals", json_string(config->arrivals == SCHEDULE_POISSON ? "poisson" : "constant"));
    }
    if (config->rate <= 0 || config->gso)
        json_object_set_new(settings, "depth", json_integer((json_int_t)config->depth));
    return settings;
}

static int ask_report(const struct load_ask_options *options, const struct engine_config *config, const struct slo *slo,
                      FILE *hdr, const struct team_result *result)
{
    struct load_report report = {
        .program = load_ask_program.name,
        .what = "requests",
        .open_loop = config->rate > 0,
        .result = result,
        .slo = slo,
        .hdr = hdr,
        .more = json_pack("{s:o}", "settings", ask_settings(config)),
    };
    return load_report_print(&report, options->json);
}

static int ask_load(const struct load_ask_options *options)
{
    struct engine_config config;
    struct cpu_servers servers;
    struct slo slo;
    FILE *hdr;
    struct conf_error why;
    if (load_ask_configure(options, &config, &why) < 0 || slo_parse(options->slo, options->reply_timeout_ns, &slo, &why) < 0 ||
        load_find_servers(options->server_pid, config.servers, config.server_count, config.stream, &servers, &why) < 0)
        return load_report_failure(load_ask_program.name, options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    struct team_result *result = calloc(1, sizeof(*result));
    if (!result) {
        conf_error_set(&why, "out of memory");
        return load_report_failure(load_ask_program.name, options->json, "ENOMEM", &why, EXIT_CODE_FAILED);
    }
    if (load_report_open(options->hdr, &hdr, &why) < 0) {
        free(result);
        return load_report_failure(load_ask_program.name, options->json, "EINVAL", &why, EXIT_CODE_USAGE);
    }
    config.seed = load_seed(config.seed);
    int error = team_run(&config, &servers, isatty(STDERR_FILENO) == 1, load_catch_signals(), result, &why);
    int exit_code = error < 0 ? load_report_failure(load_ask_program.name, options->json, error_name(error), &why,
                                                    load_failure_exit_code(error))
                              : ask_report(options, &config, &slo, hdr, result);
    if (error < 0 && hdr)
        fclose(hdr);
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
        return load_report_failure(load_ask_program.name, conf_wants_json(argc, argv), "EINVAL", &why, EXIT_CODE_USAGE);
    int exit_code = ask_load(&options);
    conf_done(&load_ask_program, &options);
    return exit_code;
}
