/* The report for people. */
#include <inttypes.h>
#include <stdio.h>

#include "bench/load/report.h"
#include "core/base/clock.h"

#define REPORT_BAR_COLUMNS 50
#define REPORT_DOUBLINGS 64

static void report_print_latency(const struct tally *tally)
{
    const struct histogram *latency_ns = &tally->latency_ns;
    char text[LOAD_REPORT_TIME_BYTES];
    printf("latency   mean %s", load_report_time(histogram_mean(latency_ns) / (double)NS_PER_US, text));
    for (size_t i = 0; i < LOAD_REPORT_QUANTILES; i++) {
        double us = (double)histogram_quantile(latency_ns, load_report_quantiles[i].fraction) / (double)NS_PER_US;
        printf(", %s %s", load_report_quantiles[i].text, load_report_time(us, text));
    }
    printf(", max %s\n", load_report_time((double)latency_ns->max / (double)NS_PER_US, text));
}

/* A line for each doubling of the latency. */
static void report_print_histogram(const struct histogram *latency_ns)
{
    uint64_t rows[REPORT_DOUBLINGS] = {0}, most = 1;
    int first = REPORT_DOUBLINGS, last = -1;
    char text[LOAD_REPORT_TIME_BYTES];
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
        printf("  < %10s  %-*.*s %6.2f %%  %" PRIu64 "\n",
               load_report_time((double)(UINT64_C(2) << row) / (double)NS_PER_US, text), REPORT_BAR_COLUMNS, columns,
               "##################################################", 100.0 * (double)rows[row] / (double)latency_ns->total,
               rows[row]);
    }
}

static void report_print_share(const char *name, double share)
{
    if (share < 0)
        printf("%s unknown", name);
    else
        printf("%s %.0f %%", name, 100 * share);
}

static void report_print_slo(const struct load_report *report)
{
    char text[LOAD_REPORT_TIME_BYTES];
    for (uint32_t i = 0; i < report->slo->count; i++) {
        const struct slo_goal *goal = &report->slo->goal[i];
        double figure;
        bool met = slo_met(goal, &report->result->tally, report->result->measured_ns, &figure);
        if (goal->figure <= SLO_MAX && report->result->tally.latency_ns.total == 0)
            snprintf(text, sizeof(text), "unknown");
        else if (goal->figure <= SLO_MAX)
            load_report_time(figure / (double)NS_PER_US, text);
        else
            snprintf(text, sizeof(text), "%.6g%s", figure, goal->figure == SLO_RPS ? "" : " %");
        printf("%s %s: %s, it is %s\n", i == 0 ? "goals    " : "         ", goal->text, met ? "met" : "MISSED", text);
    }
}

/* By cause; and the errors that were no request's end: what ICMP said more often, bytes that belong to no request. */
static void report_print_losses(const struct tally *tally)
{
    uint64_t losses = tally_losses(tally);
    if (losses > 0)
        printf("losses    %" PRIu64 ", %.3g %% of what was sent\n", losses, 100 * (double)losses / (double)tally->sent);
    for (uint32_t i = 0; i < tally->loss_kinds; i++)
        printf("          %" PRIu64 " x %s\n", tally->loss[i].count, tally->loss[i].name);
    for (uint32_t i = 0; i < tally->error_kinds; i++) {
        uint64_t as_losses = tally_losses_to(tally, tally->error[i].name);
        if (tally->error[i].count > as_losses)
            printf("          %" PRIu64 " x %s beside, as errors of no request\n", tally->error[i].count - as_losses,
                   tally->error[i].name);
    }
}

static void report_print_counts(const struct load_report *report)
{
    const struct team_result *result = report->result;
    const struct tally *tally = &result->tally;
    char text[LOAD_REPORT_TIME_BYTES];
    printf("%-9s %.0f/s offered, %.0f/s answered over %.2f s%s\n", report->what,
           load_report_per_second(result, tally->sent + result->unsent), load_report_per_second(result, tally->answered),
           (double)result->measured_ns / (double)NS_PER_S, result->interrupted ? " (interrupted)" : "");
    printf("          %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " lost, %" PRIu64 " errors\n", tally->sent,
           tally->received, tally->lost, tally->errors);
    report_print_losses(tally);
    if (tally->unexpected > 0)
        printf("          %" PRIu64 " replies that nothing waited for any more\n", tally->unexpected);
    if (report->open_loop)
        printf("schedule  %" PRIu64 " sent late, at most by %s; %" PRIu64 " not sent\n", tally->late,
               load_report_time((double)tally->late_max_ns / (double)NS_PER_US, text), result->unsent);
}

void load_report_print_text(const struct load_report *report)
{
    const struct team_result *result = report->result;
    enum verdict verdict = load_report_verdict(report);
    const char *advice = load_report_advice(report);
    report_print_counts(report);
    if (result->tally.latency_ns.total > 0) {
        report_print_latency(&result->tally);
        report_print_histogram(&result->tally.latency_ns);
    }
    if (report->print_more)
        report->print_more(report->context);
    report_print_share("CPU       generator", result->client_cpu);
    report_print_share(", busy", result->client_busy);
    report_print_share(", server", result->server_cpu);
    report_print_share(", its busiest thread", result->server_thread_cpu);
    printf("\n");
    report_print_slo(report);
    printf("%s     %s\n", verdict == VERDICT_VALID ? "valid" : "VOID ", verdict_text(verdict));
    if (advice)
        printf("          %s\n", advice);
}
