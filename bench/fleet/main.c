/* bench-fleet - plays any number of nodes towards usher-rm: what it takes to hear of them all. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "bench/fleet/player.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/conf/conf.h"

/* A heartbeat this late, or that many planned ones missing, and the load was not what it is said to be. */
#define LATE_NS_MAX (100 * NS_PER_MS)
#define TAKEN_SHARE_MIN 0.99

struct fleet_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/fleet/options.def"
#undef OPTION
};

static const struct conf_option fleet_rows[] = {
#define OPTION(...) CONF_ROW(struct fleet_options, __VA_ARGS__)
#include "bench/fleet/options.def"
#undef OPTION
};

static const struct conf_table fleet_tables[] = {{.title = "Options", .rows = fleet_rows, .row_count = ARRAY_COUNT(fleet_rows)}};

static const struct conf_program fleet_program = {
    .name = "bench-fleet",
    .summary = "plays any number of nodes towards a resource manager",
    .description =
        "Registers nodes with usher-rm and heartbeats for them, with loads and metadata that change, and counts what is "
        "acknowledged. Says `counting` on stderr when its warm-up is over, and what came of it at the end.",
    .man_section = 1,
    .options_bytes = sizeof(struct fleet_options),
    .tables = fleet_tables,
    .table_count = ARRAY_COUNT(fleet_tables),
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void signals_take(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

/* Why the run says nothing; NULL: it does. */
static const char *void_reason(const struct player_result *result)
{
    if (result->dropped > 0)
        return "this program's own socket overflowed";
    if (result->late_max_ns > LATE_NS_MAX)
        return "heartbeats went out late: this program lacked CPU";
    if ((double)result->taken < TAKEN_SHARE_MIN * (double)result->planned)
        return "heartbeats are missing: this program lacked CPU";
    return NULL;
}

static void report_text(const struct swarm *swarm, const struct player_line *line, const struct player_result *result)
{
    const struct swarm_stats *stats = &swarm->stats;
    const char *reason = void_reason(result);
    printf(
        "%.1f s: %lu heartbeats, %lu registrations, %lu acknowledged (p50 %.1f ms, p99 %.1f ms), %lu late, %lu lost, %lu errors, "
        "%lu changes, latest turn %.1f ms late%s%s\n",
        (double)result->counted_ns / (double)NS_PER_S, stats->heartbeats, stats->registers, stats->acks,
        (double)histogram_quantile(&stats->ack_us, 0.5) / 1e3, (double)histogram_quantile(&stats->ack_us, 0.99) / 1e3,
        stats->acks_late, stats->lost, stats->errors + line->errors, stats->changes,
        (double)result->late_max_ns / (double)NS_PER_MS, reason ? "; VOID: " : "", reason ? reason : "");
}

static void report_json(const struct swarm *swarm, const struct player_line *line, const struct player_result *result)
{
    const struct swarm_stats *stats = &swarm->stats;
    const char *reason = void_reason(result);
    json_t *object = json_object();
    json_object_set_new(object, "duration_s", json_real((double)result->counted_ns / (double)NS_PER_S));
    json_object_set_new(object, "nodes", json_integer(swarm->config.node_count));
    json_object_set_new(object, "registered", json_integer(swarm->registered_count));
    json_object_set_new(object, "dispatchers", json_integer(swarm->dispatcher_total));
    json_object_set_new(object, "heartbeats", json_integer((json_int_t)stats->heartbeats));
    json_object_set_new(object, "registers", json_integer((json_int_t)stats->registers));
    json_object_set_new(object, "acks", json_integer((json_int_t)stats->acks));
    json_object_set_new(object, "acks_late", json_integer((json_int_t)stats->acks_late));
    json_object_set_new(object, "lost", json_integer((json_int_t)stats->lost));
    json_object_set_new(object, "errors", json_integer((json_int_t)stats->errors + (json_int_t)line->errors));
    json_object_set_new(object, "unanswered", json_integer((json_int_t)line->unanswered));
    json_object_set_new(object, "changes", json_integer((json_int_t)stats->changes));
    json_object_set_new(object, "dropped_here", json_integer((json_int_t)result->dropped));
    json_object_set_new(object, "late_ms_max", json_real((double)result->late_max_ns / (double)NS_PER_MS));
    json_object_set_new(object, "ack_ms",
                        json_pack("{s:f, s:f, s:f}", "p50", (double)histogram_quantile(&stats->ack_us, 0.5) / 1e3, "p99",
                                  (double)histogram_quantile(&stats->ack_us, 0.99) / 1e3, "max",
                                  (double)stats->ack_us.max / 1e3));
    json_object_set_new(object, "valid", json_boolean(!reason));
    if (reason)
        json_object_set_new(object, "void", json_string(reason));
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static int fleet_play(const struct fleet_options *options, struct swarm *swarm)
{
    const struct player_config config = {
        .heartbeat_ns = options->heartbeat_ns,
        .changes_per_s = options->changes_per_s,
        .warmup_ns = options->warmup_ns,
        .duration_ns = options->duration_ns,
        .stopped = &stopped,
    };
    struct player_line line;
    struct player_result result;
    char rm[ADDRESS_TEXT_BYTES];
    const char *peer = options->zadd ? options->zadd : address_format(&options->rm, rm);
    int error = options->zadd ? line_zadd_open(&line, options->zadd) : line_rm_open(&line, &options->rm);
    if (error < 0) {
        fprintf(stderr, "%s: cannot speak to %s: %s\n", fleet_program.name, peer, error_text(error));
        return EXIT_CODE_UNREACHABLE;
    }
    error = player_run(swarm, &line, &config, &result);
    if (error < 0)
        fprintf(stderr, "%s: %s: %s\n", fleet_program.name, peer, error_text(error));
    else if (options->json)
        report_json(swarm, &line, &result);
    else
        report_text(swarm, &line, &result);
    line_close(&line);
    return error < 0 ? EXIT_CODE_FAILED : conf_finish_output(fleet_program.name);
}

int main(int argc, char **argv)
{
    static struct swarm swarm;
    struct fleet_options options;
    struct conf_error why;
    conf_open_streams();
    int error = conf_parse(&fleet_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return conf_finish_output(fleet_program.name);
    if (error < 0)
        return conf_fail(fleet_program.name, &why);
    const struct swarm_config config = {
        .node_count = options.nodes,
        .service_count = options.services,
        .services_per_node = options.services_per_node,
        .seed = options.seed,
    };
    int code = EXIT_CODE_FAILED;
    error = swarm_init(&swarm, &config);
    if (error < 0) {
        fprintf(stderr, "%s: %s\n", fleet_program.name, error_text(error));
    } else {
        signals_take();
        code = fleet_play(&options, &swarm);
        swarm_done(&swarm);
    }
    conf_done(&fleet_program, &options);
    return code;
}
