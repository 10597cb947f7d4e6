#include "bench/load/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/spectrum.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"

const struct load_report_quantile load_report_quantiles[LOAD_REPORT_QUANTILES] = {
    {"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p999", "p99.9", 0.999}, {"p9999", "p99.99", 0.9999},
};

double load_report_per_second(const struct team_result *result, uint64_t count)
{
    return result->measured_ns ? (double)count * (double)NS_PER_S / (double)result->measured_ns : 0;
}

/* Share of the measured time, at its end, without an answer. A wait that is no longer than the timeout may still end well. */
static double silent_share(const struct team_result *result)
{
    uint64_t from_ns = result->tally.measure_from_ns, end_ns = from_ns + result->measured_ns;
    uint64_t last_ns = result->tally.answered_last_ns > from_ns ? result->tally.answered_last_ns : from_ns;
    if (result->measured_ns == 0 || end_ns <= last_ns + result->tally.timeout_ns)
        return 0;
    return (double)(end_ns - last_ns) / (double)result->measured_ns;
}

enum verdict load_report_verdict(const struct load_report *report)
{
    const struct team_result *result = report->result;
    struct verdict_evidence evidence = {
        .open_loop = report->open_loop,
        .disconnected = result->disconnected,
        .sent = result->tally.sent,
        .late = result->tally.late,
        .unsent = result->unsent,
        .silent = silent_share(result),
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

const char *load_report_time(double us, char text[static LOAD_REPORT_TIME_BYTES])
{
    if (us < 1000)
        snprintf(text, LOAD_REPORT_TIME_BYTES, "%.1f us", us);
    else if (us < 1e6)
        snprintf(text, LOAD_REPORT_TIME_BYTES, "%.2f ms", us / 1000);
    else
        snprintf(text, LOAD_REPORT_TIME_BYTES, "%.3f s", us / 1e6);
    return text;
}

/* What the goals make of an exit code. */
static int report_judge(const struct load_report *report, int exit_code)
{
    const struct team_result *result = report->result;
    bool met = load_report_verdict(report) == VERDICT_VALID;
    if (report->slo->count == 0 || exit_code != EXIT_CODE_OK)
        return exit_code;
    for (uint32_t i = 0; i < report->slo->count; i++) {
        double figure;
        met = slo_met(&report->slo->goal[i], &result->tally, result->measured_ns, &figure) && met;
    }
    return met ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static int report_write_spectrum(const struct load_report *report, int exit_code)
{
    FILE *file = fopen(report->hdr, "we");
    bool failed = !file;
    if (file) {
        spectrum_write(file, &report->result->tally.latency_ns);
        failed = ferror(file) != 0;
        failed = fclose(file) != 0 || failed;
    }
    if (!failed)
        return exit_code;
    fprintf(stderr, "%s: --hdr %s could not be written (%s)\n", report->program, report->hdr, error_text(-errno));
    return EXIT_CODE_FAILED;
}

static int report_flush(int exit_code)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? exit_code : EXIT_CODE_FAILED;
}

int load_report_print(struct load_report *report, bool json)
{
    int exit_code = report_judge(report, load_report_exit_code(&report->result->tally));
    json_t *object = json ? load_report_json(report) : NULL;
    if (report->hdr)
        exit_code = report_write_spectrum(report, exit_code);
    if (object) {
        (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (json) {
        exit_code = EXIT_CODE_FAILED; /* no memory */
    } else {
        load_report_print_text(report);
    }
    json_decref(object);
    json_decref(report->more);
    report->more = NULL;
    return report_flush(exit_code);
}

int load_report_failure(const char *program, bool json, const char *error, const struct conf_error *why, int exit_code)
{
    json_t *object = json ? json_pack("{s:s, s:s}", "error", error, "message", why->text) : NULL;
    if (object) {
        (void)json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    }
    fprintf(stderr, "%s: %s\n", program, why->text);
    return report_flush(exit_code);
}
