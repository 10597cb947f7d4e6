#include "tools/sim/effort.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/duration.h"
#include "tools/sim/node.h"

/* As measured on one core of a server of 2020, in ns. */
#define JOB_NS 1000.0
#define SAMPLE_NS 45.0
#define BEAT_NS 150.0
#define HEARD_NS 40.0 /* one report at one dispatcher */

/* What takes less needs no announcement. */
#define QUIET_S 10.0

/* Virtual time has 64 bits of nanoseconds; not all of them are asked for, since what is drawn may be longer than expected. */
#define VIRTUAL_NS_MAX 4e18

#define LINE_NS NS_PER_S

static double arrivals_of(const struct scenario *scenario)
{
    return scenario_warm_arrivals(scenario) + (double)scenario->jobs;
}

static double virtual_ns_of(const struct scenario *scenario)
{
    return arrivals_of(scenario) / scenario->arrivals.rate;
}

double effort_of(const struct scenario *scenario, const struct sim_policy *policy)
{
    double span_ns = virtual_ns_of(scenario), nodes = scenario->nodes, dispatchers = scenario->dispatchers;
    double work_ns = JOB_NS * arrivals_of(scenario);
    if (scenario->noise.share > 0)
        work_ns += BEAT_NS * nodes * 2 * span_ns / scenario->noise.period_ns;
    if (scenario->churn.up_ns > 0)
        work_ns += BEAT_NS * nodes * 2 * span_ns / (scenario->churn.up_ns + scenario->churn.away_ns);
    if (policy->on_report != NULL) {
        double beats = nodes * span_ns / (double)scenario->heartbeat_ns;
        work_ns += BEAT_NS * beats + SAMPLE_NS * nodes * span_ns / (double)NODE_SAMPLE_NS;
        if (scenario->push_ns > 0)
            work_ns += HEARD_NS * dispatchers * beats;
        if (scenario->refresh_ns > 0)
            work_ns += HEARD_NS * dispatchers * nodes * span_ns / (double)scenario->refresh_ns;
    }
    return work_ns * 1e-9;
}

static void time_print(double seconds, char text[static 32])
{
    if (seconds < 120)
        snprintf(text, 32, "%.0f seconds", seconds);
    else if (seconds < 7200)
        snprintf(text, 32, "%.0f minutes", seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(text, 32, "%.0f hours", seconds / 3600);
    else if (seconds < 2 * 365 * 86400.0)
        snprintf(text, 32, "%.0f days", seconds / 86400);
    else
        snprintf(text, 32, "%.3g years", seconds / 365 / 86400);
}

int effort_check(const char *program, const struct scenario *scenario, double effort_s, struct conf_error *ret_error)
{
    char takes[32], spans[32];
    double warm = scenario_warm_arrivals(scenario), span_ns = virtual_ns_of(scenario);
    time_print(effort_s, takes);
    time_print(span_ns * 1e-9, spans);
    bool too_long = effort_s > EFFORT_MAX_S || span_ns > VIRTUAL_NS_MAX;
    if (too_long && warm > (double)scenario->jobs * 10)
        conf_error_set(
            ret_error,
            "this would take about %s: jobs are so short beside heartbeats and refreshes that %.2g come before measuring "
            "begins; give a shorter --heartbeat and --refresh, or longer jobs with --service",
            takes, warm);
    else if (too_long)
        conf_error_set(
            ret_error,
            "this would take about %s: %.3g jobs take %s of the nodes' time, in which each reports all the while; give fewer "
            "--jobs, policies or nodes, or shorter jobs with --service (and times that belong to them, in proportion)",
            takes, arrivals_of(scenario), spans);
    else if (effort_s > QUIET_S)
        fprintf(stderr, "%s: this takes about %s; fewer --jobs or policies take less\n", program, takes);
    return too_long ? -EINVAL : 0;
}

void effort_line_show(struct effort_line *line, const char *policy, double share)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (isatty(STDERR_FILENO) != 1 || now_ns - line->shown_ns < LINE_NS)
        return;
    line->shown_ns = now_ns;
    fprintf(stderr, "\r%s: %.0f %%\033[K", policy, share * 100);
}

void effort_line_clear(struct effort_line *line)
{
    if (line->shown_ns != 0)
        fprintf(stderr, "\r\033[K");
    line->shown_ns = 0;
}
