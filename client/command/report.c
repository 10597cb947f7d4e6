#include "client/command/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/command.h"

/* A report names this much of a job's result. */
#define REPORT_RESULT_BYTES_MAX 4096

static void report_add_failure(struct report *report, const struct usher_result *result)
{
    uint32_t i = 0;
    while (i < report->failure_count &&
           (report->failures[i].error != result->error || report->failures[i].started != result->started))
        i++;
    if (i == REPORT_FAILURES_MAX)
        return; /* there are fewer kinds of errors */
    if (i == report->failure_count) {
        struct report_failure *failure = &report->failures[report->failure_count++];
        *failure = (struct report_failure){.error = result->error, .started = result->started};
        snprintf(failure->message, sizeof(failure->message), "%s", result->message);
    }
    report->failures[i].count++;
}

static void report_add_node(struct report *report, const char *address)
{
    uint32_t i = 0;
    while (i < report->node_count && strcmp(report->nodes[i].address, address) != 0)
        i++;
    if (i == REPORT_NODES_MAX) {
        report->nodes_omitted++;
        return;
    }
    if (i == report->node_count)
        snprintf(report->nodes[report->node_count++].address, USHER_ADDRESS_BYTES, "%s", address);
    report->nodes[i].jobs++;
}

static void report_add_region(struct report *report, uint16_t region)
{
    uint32_t i = 0;
    while (i < report->region_count && report->regions[i].region != region)
        i++;
    if (i == USHER_STATS_REGIONS_MAX) {
        report->regions_omitted++;
        return;
    }
    if (i == report->region_count)
        report->regions[report->region_count++].region = region;
    report->regions[i].jobs++;
}

void report_add(struct report *report, const struct usher_result *result)
{
    if (result->attempts > 1)
        report->retries += result->attempts - 1;
    if (result->error < 0) {
        report->failed++;
        report->started_unknown += result->started == USHER_MAYBE_STARTED;
        report_add_failure(report, result);
        return;
    }
    report->ok++;
    report_add_node(report, result->node);
    report_add_region(report, result->region);
    histogram_add(&report->latency_us, result->elapsed_us);
}

int report_exit_code(const struct report *report)
{
    if (report->failed == 0)
        return EXIT_CODE_OK;
    int exit_code = command_exit_code(report->failures[0].error);
    for (uint32_t i = 1; i < report->failure_count; i++)
        if (command_exit_code(report->failures[i].error) != exit_code)
            exit_code = EXIT_CODE_FAILED;
    return report->ok > 0 ? EXIT_CODE_FAILED : exit_code;
}

const char *report_started_text(enum usher_started started)
{
    switch (started) {
    case USHER_NOT_STARTED: return "not started";
    case USHER_STARTED: return "started";
    case USHER_MAYBE_STARTED: return "may have started";
    }
    return "";
}

/* "1.23 ms" */
static void report_print_us(const char *name, double us, FILE *stream)
{
    if (us < 1000)
        fprintf(stream, "%s %.0f us", name, us);
    else if (us < 1e6)
        fprintf(stream, "%s %.3g ms", name, us / 1000);
    else
        fprintf(stream, "%s %.3g s", name, us / 1e6);
}

static void report_print_latency(const struct histogram *latency_us, FILE *stream)
{
    if (latency_us->total == 0)
        return;
    fprintf(stream, "  latency: ");
    report_print_us("mean", histogram_mean(latency_us), stream);
    report_print_us(", p50", (double)histogram_quantile(latency_us, 0.5), stream);
    report_print_us(", p99", (double)histogram_quantile(latency_us, 0.99), stream);
    report_print_us(", max", (double)latency_us->max, stream);
    fprintf(stream, "\n");
}

static void report_print_places(const struct report *report, FILE *stream)
{
    if (report->ok == 0)
        return;
    fprintf(stream, "  regions:");
    for (uint32_t i = 0; i < report->region_count; i++)
        fprintf(stream, "%s %u: %" PRIu64 " jobs", i ? "," : "", report->regions[i].region, report->regions[i].jobs);
    if (report->regions_omitted > 0)
        fprintf(stream, ", others: %" PRIu64 " jobs", report->regions_omitted);
    fprintf(stream, "\n  nodes:");
    for (uint32_t i = 0; i < report->node_count && i < REPORT_NODES_PRINTED; i++)
        fprintf(stream, "%s %s: %" PRIu64, i ? "," : "", report->nodes[i].address, report->nodes[i].jobs);
    if (report->node_count > REPORT_NODES_PRINTED)
        fprintf(stream, ", and %u%s more", report->node_count - REPORT_NODES_PRINTED, report->nodes_omitted > 0 ? " or" : "");
    fprintf(stream, "\n");
}

void report_print(const struct report *report, const struct usher_stats *stats, double elapsed_s, FILE *stream)
{
    fprintf(stream, "%" PRIu64 " jobs in %.3g s: %" PRIu64 " ok, %" PRIu64 " failed\n", report->ok + report->failed, elapsed_s,
            report->ok, report->failed);
    for (uint32_t i = 0; i < report->failure_count; i++) {
        const struct report_failure *failure = &report->failures[i];
        fprintf(stream, "  failed: %" PRIu64 " %s (%s), for example: %s\n", failure->count, usher_error_name(failure->error),
                report_started_text(failure->started), failure->message);
    }
    if (report->retries > 0 || stats->ask_retries > 0)
        fprintf(stream, "  retries: %" PRIu64 " on another node, %" PRIu64 " at another dispatcher\n", report->retries,
                stats->ask_retries);
    if (stats->region_downs > 0)
        fprintf(stream, "  own region: given up %" PRIu64 " times, returned to %" PRIu64 " times\n", stats->region_downs,
                stats->region_returns);
    report_print_places(report, stream);
    report_print_latency(&report->latency_us, stream);
}

static json_t *report_latency_to_json(const struct histogram *latency_us)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I}", "mean", histogram_mean(latency_us), "p50",
                     (json_int_t)histogram_quantile(latency_us, 0.5), "p90", (json_int_t)histogram_quantile(latency_us, 0.9),
                     "p99", (json_int_t)histogram_quantile(latency_us, 0.99), "p999",
                     (json_int_t)histogram_quantile(latency_us, 0.999), "max", (json_int_t)latency_us->max);
}

static json_t *report_failures_to_json(const struct report *report)
{
    json_t *reasons = json_object();
    for (uint32_t i = 0; i < report->failure_count; i++) {
        const char *name = usher_error_name(report->failures[i].error);
        json_int_t before = json_integer_value(json_object_get(reasons, name));
        json_object_set_new(reasons, name, json_integer(before + (json_int_t)report->failures[i].count));
    }
    return reasons;
}

json_t *report_to_json(const struct report *report, const struct usher_stats *stats, double elapsed_s)
{
    json_t *regions = json_object(), *nodes = json_object();
    for (uint32_t i = 0; i < report->region_count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u", report->regions[i].region);
        json_object_set_new(regions, name, json_integer((json_int_t)report->regions[i].jobs));
    }
    for (uint32_t i = 0; i < report->node_count; i++)
        json_object_set_new(nodes, report->nodes[i].address, json_integer((json_int_t)report->nodes[i].jobs));
    return json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:I, s:o, s:f}", "ok",
                     (json_int_t)report->ok, "failed", (json_int_t)report->failed, "failed_by_reason",
                     report_failures_to_json(report), "started_unknown", (json_int_t)report->started_unknown, "retries",
                     (json_int_t)report->retries, "ask_retries", (json_int_t)stats->ask_retries, "dispatcher_faults",
                     (json_int_t)stats->dispatcher_faults, "node_faults", (json_int_t)stats->node_faults, "region_downs",
                     (json_int_t)stats->region_downs, "region_returns", (json_int_t)stats->region_returns, "regions", regions,
                     "regions_omitted", (json_int_t)report->regions_omitted, "nodes", nodes, "nodes_omitted",
                     (json_int_t)report->nodes_omitted, "latency_us", report_latency_to_json(&report->latency_us), "elapsed_s",
                     elapsed_s);
}

/* RFC 4648. The text is freed by the caller; NULL: no memory. */
static char *report_base64(const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((length + 2) / 3 * 4 + 1), *at = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (i + 1 < length)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < length)
            group |= bytes[i + 2];
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
        *at++ = i + 2 < length ? digits[group & 63] : '=';
    }
    *at = '\0';
    return text;
}

/* Text as it is; what is not UTF-8 in base64. */
static void report_set_result(json_t *job, const struct usher_result *result)
{
    size_t length = result->data_bytes < REPORT_RESULT_BYTES_MAX ? result->data_bytes : REPORT_RESULT_BYTES_MAX;
    size_t text_length = length;
    /* A cut may have gone through a character: its bytes go too. */
    while (length < result->data_bytes && text_length > length - 3 && (result->data[text_length] & 0xc0) == 0x80)
        text_length--;
    json_t *text = result->data ? json_stringn((const char *)result->data, text_length) : json_string("");
    const char *encoding = "text";
    if (!text && result->data) {
        char *base64 = report_base64(result->data, length);
        text = json_string(base64 ? base64 : "");
        encoding = "base64";
        free(base64);
    }
    json_object_set_new(job, "result", text);
    json_object_set_new(job, "result_encoding", json_string(encoding));
    json_object_set_new(job, "result_bytes", json_integer((json_int_t)result->data_bytes));
}

/* true, false, or null for unknown. */
static json_t *report_started_to_json(enum usher_started started)
{
    return started == USHER_MAYBE_STARTED ? json_null() : json_boolean(started == USHER_STARTED);
}

/* Nodes say it with results alone. */
static json_t *report_time_to_json(const struct usher_result *result, uint64_t time_us)
{
    return result->error < 0 ? json_null() : json_integer((json_int_t)time_us);
}

json_t *report_job_to_json(uint64_t number, const struct usher_result *result)
{
    json_t *job =
        json_pack("{s:I, s:b, s:o, s:s, s:s, s:i, s:I, s:I, s:o, s:o, s:I}", "id", (json_int_t)number, "ok", result->error == 0,
                  "started", report_started_to_json(result->started), "node", result->node, "dispatcher", result->dispatcher,
                  "region", result->region, "attempts", (json_int_t)result->attempts, "service_time_ms",
                  (json_int_t)result->service_time_ms, "waited_us", report_time_to_json(result, result->waited_us), "ran_us",
                  report_time_to_json(result, result->ran_us), "elapsed_us", (json_int_t)result->elapsed_us);
    if (!job)
        return NULL;
    if (result->error < 0) {
        json_object_set_new(job, "error", json_string(usher_error_name(result->error)));
        json_object_set_new(job, "message", json_string(result->message));
    } else {
        report_set_result(job, result);
    }
    return job;
}
