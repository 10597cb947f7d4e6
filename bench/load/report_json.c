/* The report as one JSON object. */
#include "bench/load/report.h"
#include "core/base/clock.h"

json_t *load_report_spectrum(const struct histogram *histogram, double unit_us)
{
    json_t *spectrum = json_pack("{s:f}", "mean", histogram_mean(histogram) * unit_us);
    for (size_t i = 0; i < LOAD_REPORT_QUANTILES; i++)
        json_object_set_new(spectrum, load_report_quantiles[i].name,
                            json_real((double)histogram_quantile(histogram, load_report_quantiles[i].fraction) * unit_us));
    json_object_set_new(spectrum, "max", json_real((double)histogram->max * unit_us));
    return spectrum;
}

static json_t *report_share_json(double share)
{
    return share < 0 ? json_null() : json_real(share);
}

static json_t *report_kinds_json(const struct tally_error *kinds, uint32_t kind_count)
{
    json_t *names = json_object();
    for (uint32_t i = 0; i < kind_count; i++)
        json_object_set_new(names, kinds[i].name, json_integer((json_int_t)kinds[i].count));
    return names;
}

/* What was sent and not answered soundly: the causes are together all of it. */
static json_t *report_losses_json(const struct tally *tally)
{
    return json_pack("{s:I, s:o}", "losses", (json_int_t)tally_losses(tally), "losses_by_cause",
                     report_kinds_json(tally->loss, tally->loss_kinds));
}

/* Durations in microseconds, as everywhere in the report. */
static json_t *report_slo_json(const struct load_report *report)
{
    json_t *goals = json_array();
    for (uint32_t i = 0; i < report->slo->count; i++) {
        const struct slo_goal *goal = &report->slo->goal[i];
        double figure;
        bool met = slo_met(goal, &report->result->tally, report->result->measured_ns, &figure);
        json_array_append_new(goals, json_pack("{s:s, s:f, s:b}", "goal", goal->text, "reached",
                                               goal->figure <= SLO_MAX ? figure / (double)NS_PER_US : figure, "met", met));
    }
    return goals;
}

static json_t *report_cpu_json(const struct load_report *report)
{
    const struct team_result *result = report->result;
    enum verdict verdict = load_report_verdict(report);
    bool valid = verdict == VERDICT_VALID;
    return json_pack("{s:f, s:f, s:o, s:o, s:b, s:s, s:s, s:b}", "client_cpu", result->client_cpu, "client_busy",
                     result->client_busy, "server_cpu", report_share_json(result->server_cpu), "server_thread_cpu",
                     report_share_json(result->server_thread_cpu), "valid", valid, "verdict", verdict_code(verdict),
                     "verdict_text", verdict_text(verdict), "interrupted", result->interrupted);
}

json_t *load_report_json(const struct load_report *report)
{
    const struct team_result *result = report->result;
    const struct tally *tally = &result->tally;
    json_t *cpu = report_cpu_json(report), *losses = report_losses_json(tally);
    const char *advice = load_report_advice(report);
    json_t *object =
        json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:f, s:f, s:o}", "offered_rps",
                  load_report_per_second(result, tally->sent + result->unsent), "achieved_rps",
                  load_report_per_second(result, tally->answered), "sent", (json_int_t)tally->sent, "unsent",
                  (json_int_t)result->unsent, "received", (json_int_t)tally->received, "answered", (json_int_t)tally->answered,
                  "lost", (json_int_t)tally->lost, "errors", (json_int_t)tally->errors, "errors_by_name",
                  report_kinds_json(tally->error, tally->error_kinds), "unexpected", (json_int_t)tally->unexpected, "nodes_named",
                  (json_int_t)result->nodes_named, "late", (json_int_t)tally->late, "late_max_us",
                  (double)tally->late_max_ns / (double)NS_PER_US, "duration_s", (double)result->measured_ns / (double)NS_PER_S,
                  "latency_us", load_report_spectrum(&tally->latency_ns, 1 / (double)NS_PER_US));
    json_object_update(object, losses);
    json_object_update(object, cpu);
    json_decref(losses);
    json_decref(cpu);
    if (advice)
        json_object_set_new(object, "advice", json_string(advice));
    if (report->slo->count > 0)
        json_object_set_new(object, "slo", report_slo_json(report));
    if (report->more)
        json_object_update(object, report->more);
    return object;
}
