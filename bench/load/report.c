#include "bench/load/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/ask.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"

#define REPORT_BAR_COLUMNS 50
#define REPORT_DOUBLINGS 64

struct report_quantile {
    const char *name; /* in JSON */
    const char *text;
    double fraction;
};

static const struct report_quantile quantiles[] = {
    {"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p999", "p99.9", 0.999}, {"p9999", "p99.99", 0.9999},
};

static double report_quantile_us(const struct tally *tally, double fraction)
{
    return (double)histogram_quantile(&tally->latency_ns, fraction) / (double)NS_PER_US;
}

static double report_per_second(const struct team_result *result, uint64_t count)
{
    return result->measured_ns ? (double)count * (double)NS_PER_S / (double)result->measured_ns : 0;
}

enum verdict load_report_verdict(const struct engine_config *config, const struct team_result *result)
{
    struct verdict_evidence evidence = {
        .open_loop = config->rate > 0,
        .disconnected = result->disconnected,
        .sent = result->tally.sent,
        .late = result->tally.late,
        .unsent = result->unsent,
        .client_busy = result->client_busy,
        .server_thread_cpu = result->server_thread_cpu < 0 ? VERDICT_CPU_UNKNOWN : result->server_thread_cpu,
    };
    return verdict_of(&evidence);
}

int load_report_exit_code(const struct tally *tally)
{
    uint64_t no_node = 0;
    if (tally->answered > 0)
        return EXIT_CODE_OK;
    if (tally->received == 0)
        return tally->sent > 0 ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
    for (uint32_t i = 0; i < tally->error_kinds; i++)
        if (strcmp(tally->error[i].name, error_name(USHER_ENONODE)) == 0 ||
            strcmp(tally->error[i].name, error_name(USHER_ENOSERVICE)) == 0)
            no_node += tally->error[i].count;
    return no_node == tally->received ? EXIT_CODE_NO_NODE : EXIT_CODE_FAILED;
}

static json_t *report_latency_json(const struct tally *tally)
{
    json_t *latency = json_pack("{s:f}", "mean", histogram_mean(&tally->latency_ns) / (double)NS_PER_US);
    for (size_t i = 0; i < ARRAY_COUNT(quantiles); i++)
        json_object_set_new(latency, quantiles[i].name, json_real(report_quantile_us(tally, quantiles[i].fraction)));
    json_object_set_new(latency, "max", json_real((double)tally->latency_ns.max / (double)NS_PER_US));
    return latency;
}

static json_t *report_share_json(double share)
{
    return share < 0 ? json_null() : json_real(share);
}

static const char *const report_protos[] = {"udp", "tcp", "dns", "resp"};

static json_t *report_settings_json(const struct engine_config *config)
{
    char address[ADDRESS_TEXT_BYTES];
    json_t *dispatchers = json_array();
    for (uint32_t i = 0; i < config->server_count; i++)
        json_array_append_new(dispatchers, json_string(address_format(&config->servers[i], address)));
    json_t *settings = json_pack("{s:o, s:s, s:b, s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:f}", "dispatchers", dispatchers, "proto",
                                 report_protos[config->proto], "echo", config->echo, "loop", config->rate > 0 ? "open" : "closed",
                                 "connections", (json_int_t)config->connections, "threads", (json_int_t)config->threads, "pack",
                                 (json_int_t)config->pack, "gso", config->gso, "spin", config->spin, "count",
                                 (json_int_t)config->count, "reply_timeout_s", (double)config->timeout_ns / (double)NS_PER_S);
    if (config->rate > 0) {
        json_object_set_new(settings, "rate", json_real(config->rate));
        json_object_set_new(settings, "arrivals", json_string(config->arrivals == SCHEDULE_POISSON ? "poisson" : "constant"));
    }
    if (config->rate <= 0 || config->gso)
        json_object_set_new(settings, "depth", json_integer((json_int_t)config->depth));
    return settings;
}

static json_t *report_json(const struct engine_config *config, const struct team_result *result)
{
    const struct tally *tally = &result->tally;
    enum verdict verdict = load_report_verdict(config, result);
    json_t *codes = json_object();
    for (uint32_t i = 0; i < tally->error_kinds; i++)
        json_object_set_new(codes, tally->error[i].name, json_integer((json_int_t)tally->error[i].count));
    bool valid = verdict == VERDICT_VALID;
    return json_pack(
        "{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:b, s:o}",
        "offered_rps", report_per_second(result, tally->sent + result->unsent), "achieved_rps",
        report_per_second(result, tally->answered), "sent", (json_int_t)tally->sent, "received", (json_int_t)tally->received,
        "answered", (json_int_t)tally->answered, "lost", (json_int_t)tally->lost, "errors", (json_int_t)tally->errors,
        "errors_by_name", codes, "unexpected", (json_int_t)tally->unexpected, "nodes_named", (json_int_t)result->nodes_named,
        "late", (json_int_t)tally->late, "late_max_us", (double)tally->late_max_ns / (double)NS_PER_US, "duration_s",
        (double)result->measured_ns / (double)NS_PER_S, "latency_us", report_latency_json(tally), "client_cpu",
        json_real(result->client_cpu), "client_busy", json_real(result->client_busy), "server_cpu",
        report_share_json(result->server_cpu), "server_thread_cpu", report_share_json(result->server_thread_cpu), "valid", valid,
        "verdict", verdict_text(verdict), "void_reason", valid ? json_null() : json_string(verdict_text(verdict)), "interrupted",
        result->interrupted, "settings", report_settings_json(config));
}

/* "1.23 ms" */
static const char *report_time(double us, char text[static 32])
{
    if (us < 1000)
        snprintf(text, 32, "%.1f us", us);
    else if (us < 1e6)
        snprintf(text, 32, "%.2f ms", us / 1000);
    else
        snprintf(text, 32, "%.3f s", us / 1e6);
    return text;
}

static void report_print_latency(const struct tally *tally)
{
    char text[32];
    printf("latency   mean %s", report_time(histogram_mean(&tally->latency_ns) / (double)NS_PER_US, text));
    for (size_t i = 0; i < ARRAY_COUNT(quantiles); i++)
        printf(", %s %s", quantiles[i].text, report_time(report_quantile_us(tally, quantiles[i].fraction), text));
    printf(", max %s\n", report_time((double)tally->latency_ns.max / (double)NS_PER_US, text));
}

/* A line for each doubling of the latency. */
static void report_print_histogram(const struct histogram *latency_ns)
{
    uint64_t rows[REPORT_DOUBLINGS] = {0}, most = 1;
    int first = REPORT_DOUBLINGS, last = -1;
    char text[32];
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = latency_ns->bucket[i];
        int row = 63 - __builtin_clzll(histogram_bucket_value(i) | 1);
        rows[row] += count;
        most = rows[row] > most ? rows[row] : most;
        first = count > 0 && row < first ? row : first;
        last = count > 0 && row > last ? row : last;
    }
    for (int row = first; row <= last; row++) {
        int columns = (int)((double)rows[row] * REPORT_BAR_COLUMNS / (double)most + 0.5);
        printf("  < %10s  %-*.*s %6.2f %%  %" PRIu64 "\n", report_time((double)(UINT64_C(2) << row) / (double)NS_PER_US, text),
               REPORT_BAR_COLUMNS, columns, "##################################################",
               100.0 * (double)rows[row] / (double)latency_ns->total, rows[row]);
    }
}

static void report_print_share(const char *name, double share)
{
    if (share < 0)
        printf("%s unknown", name);
    else
        printf("%s %.0f %%", name, 100 * share);
}

static void report_print_text(const struct engine_config *config, const struct team_result *result)
{
    const struct tally *tally = &result->tally;
    enum verdict verdict = load_report_verdict(config, result);
    char text[32];
    printf("requests  %.0f/s offered, %.0f/s answered over %.2f s%s\n", report_per_second(result, tally->sent + result->unsent),
           report_per_second(result, tally->answered), (double)result->measured_ns / (double)NS_PER_S,
           result->interrupted ? " (interrupted)" : "");
    printf("          %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " lost, %" PRIu64 " errors\n", tally->sent,
           tally->received, tally->lost, tally->errors);
    for (uint32_t i = 0; i < tally->error_kinds; i++)
        printf("          %" PRIu64 " x %s\n", tally->error[i].count, tally->error[i].name);
    if (tally->unexpected > 0)
        printf("          %" PRIu64 " replies that nothing waited for any more\n", tally->unexpected);
    if (config->rate > 0)
        printf("schedule  %" PRIu64 " sent late, at most by %s; %" PRIu64 " not sent\n", tally->late,
               report_time((double)tally->late_max_ns / (double)NS_PER_US, text), result->unsent);
    if (tally->latency_ns.total > 0) {
        report_print_latency(tally);
        report_print_histogram(&tally->latency_ns);
    }
    report_print_share("CPU       generator", result->client_cpu);
    report_print_share(", busiest thread", result->client_busy);
    report_print_share(", server", result->server_cpu);
    report_print_share(", its busiest thread", result->server_thread_cpu);
    printf("\n%s     %s\n", verdict == VERDICT_VALID ? "valid" : "VOID ", verdict_text(verdict));
}

static int report_flush(int exit_code)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? exit_code : EXIT_CODE_FAILED;
}

int load_report_print(const struct engine_config *config, const struct team_result *result, bool json)
{
    if (!json) {
        report_print_text(config, result);
        return report_flush(load_report_exit_code(&result->tally));
    }
    json_t *object = report_json(config, result);
    if (!object)
        return EXIT_CODE_FAILED;
    (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
    return report_flush(load_report_exit_code(&result->tally));
}

int load_report_failure(bool json, const char *error, const struct conf_error *why, int exit_code)
{
    json_t *object = json ? json_pack("{s:s, s:s}", "error", error, "message", why->text) : NULL;
    if (object) {
        (void)json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    }
    fprintf(stderr, "%s: %s\n", load_ask_program.name, why->text);
    return report_flush(exit_code);
}
