#include "bench/load/report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
        .answered = result->tally.answered,
        .late = result->tally.late,
        .unsent = result->unsent,
        .errors = result->tally.errors,
        .silent = silent_share(result),
        .client_busy = result->client_busy,
        .server_thread_cpu = result->server_thread_cpu < 0 ? VERDICT_CPU_UNKNOWN : result->server_thread_cpu,
    };
    return verdict_of(&evidence);
}

const char *load_report_advice(const struct load_report *report)
{
    const struct tally *tally = &report->result->tally;
    const char *cause = tally_loss_chief(tally);
    if (tally->answered > 0 || load_report_verdict(report) == VERDICT_FELL_BEHIND) /* whose sentence says it */
        return NULL;
    return cause ? verdict_advice(cause) : verdict_advice_unsent(tally->errors > 0, report->result->interrupted);
}

int load_report_exit_code(const struct team_result *result)
{
    const struct tally *tally = &result->tally;
    uint64_t no_node = 0;
    if (tally->answered > 0)
        return EXIT_CODE_OK;
    if (tally_losses_to(tally, error_name(USHER_EWAIT)) > 0)
        return EXIT_CODE_FAILED; /* a node said so */
    if (tally->received == 0)
        return tally->sent > 0 || result->disconnected ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
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

int load_report_open(const char *hdr_path, FILE **ret_hdr, struct conf_error *ret_error)
{
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    FILE *hdr = NULL;
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
        conf_error_set(ret_error, "the standard output is not open for writing: the report would go nowhere");
        return -EBADF;
    }
    if (hdr_path)
        hdr = fopen(hdr_path, "ae");
    if (hdr_path && !hdr) {
        int error = -errno;
        conf_error_set(ret_error, "--hdr %.200s cannot be written (%s)", hdr_path, error_text(error));
        return error;
    }
    *ret_hdr = hdr;
    return 0;
}

static int report_write_spectrum(const struct load_report *report, int exit_code)
{
    bool failed = ftruncate(fileno(report->hdr), 0) < 0 && errno != EINVAL; /* a pipe has no length */
    spectrum_write(report->hdr, &report->result->tally.latency_ns);
    failed = failed || ferror(report->hdr) != 0;
    if (fclose(report->hdr) == 0 && !failed)
        return exit_code;
    fprintf(stderr, "%s: the file of --hdr could not be written (%s)\n", report->program, error_text(-errno));
    return EXIT_CODE_FAILED;
}

static int report_flush(const char *program, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    fprintf(stderr, "%s: the report could not be written (%s)\n", program, error_text(-errno));
    return EXIT_CODE_FAILED;
}

int load_report_print(struct load_report *report, bool json)
{
    int exit_code = report_judge(report, load_report_exit_code(report->result));
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
    return report_flush(report->program, exit_code);
}

int load_report_failure(const char *program, bool json, const char *error, const struct conf_error *why, int exit_code)
{
    json_t *object = json ? json_pack("{s:s, s:s}", "error", error, "message", why->text) : NULL;
    if (object) {
        (void)json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    }
    (void)fflush(stdout); /* if that fails, it is said on stderr all the same */
    fprintf(stderr, "%s: %s\n", program, why->text);
    return exit_code;
}
