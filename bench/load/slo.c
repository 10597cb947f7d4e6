#include "bench/load/slo.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/duration.h"

#define SLO_OPERATORS "<>"

struct slo_name {
    const char *name;
    enum slo_figure figure;
};

static const struct slo_name slo_names[] = {
    {"mean", SLO_MEAN}, {"max", SLO_MAX}, {"lost", SLO_LOST}, {"errors", SLO_ERRORS}, {"rps", SLO_RPS},
};

static int slo_parse_figure(const char *text, size_t length, struct slo_goal *goal)
{
    char *end;
    for (size_t i = 0; i < ARRAY_COUNT(slo_names); i++) {
        if (strlen(slo_names[i].name) != length || strncmp(slo_names[i].name, text, length) != 0)
            continue;
        goal->figure = slo_names[i].figure;
        return 0;
    }
    if (text[0] != 'p' || text[1] < '0' || text[1] > '9')
        return -EINVAL;
    goal->figure = SLO_QUANTILE;
    goal->quantile = strtod(text + 1, &end) / 100;
    return end == text + length && goal->quantile <= 1 ? 0 : -EINVAL;
}

static int slo_parse_bound(const char *text, struct slo_goal *goal)
{
    uint64_t bound_ns;
    char *end;
    if (goal->figure <= SLO_MAX) {
        if (duration_parse(text, &bound_ns) < 0)
            return -EINVAL;
        goal->bound = (double)bound_ns;
        return 0;
    }
    goal->bound = strtod(text, &end);
    bool whole = end != text && strcmp(end, goal->figure == SLO_RPS ? "" : "%") == 0;
    return whole && isfinite(goal->bound) && goal->bound >= 0 ? 0 : -EINVAL;
}

static int slo_parse_goal(const char *text, struct slo_goal *ret_goal)
{
    struct slo_goal goal = {0};
    size_t length = strcspn(text, SLO_OPERATORS);
    if (!text[length] || strlen(text) >= sizeof(goal.text) || slo_parse_figure(text, length, &goal) < 0)
        return -EINVAL;
    memcpy(goal.text, text, strlen(text));
    goal.above = text[length] == '>';
    goal.equal = text[length + 1] == '=';
    if (goal.above != (goal.figure == SLO_RPS) || slo_parse_bound(text + length + 1 + goal.equal, &goal) < 0)
        return -EINVAL;
    *ret_goal = goal;
    return 0;
}

int slo_parse(const char *text, struct slo *ret_slo, struct conf_error *ret_error)
{
    struct slo slo = {0};
    while (text && *text) {
        char goal[2 * SLO_TEXT_BYTES];
        size_t length = strcspn(text, ",");
        if (slo.count == SLO_GOALS_MAX) {
            conf_error_set(ret_error, "--slo: give %d goals at most", SLO_GOALS_MAX);
            return -EINVAL;
        }
        size_t copied = length < sizeof(goal) ? length : sizeof(goal) - 1;
        memcpy(goal, text, copied);
        goal[copied] = '\0';
        if (slo_parse_goal(goal, &slo.goal[slo.count]) < 0) {
            conf_error_set(
                ret_error,
                "--slo \"%s\": give goals such as p99<1ms, p99.9<=5ms, mean<200us, max<20ms, lost<0.1%%, errors<=0%% or "
                "rps>50000, separated by commas",
                goal);
            return -EINVAL;
        }
        slo.count++;
        text += length + (text[length] == ',');
    }
    *ret_slo = slo;
    return 0;
}

static double slo_share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

static double slo_figure(const struct slo_goal *goal, const struct tally *tally, uint64_t measured_ns)
{
    switch (goal->figure) {
    case SLO_QUANTILE: return (double)histogram_quantile(&tally->latency_ns, goal->quantile);
    case SLO_MEAN: return histogram_mean(&tally->latency_ns);
    case SLO_MAX: return (double)tally->latency_ns.max;
    case SLO_LOST: return slo_share(tally->lost, tally->sent);
    case SLO_ERRORS: return slo_share(tally->errors, tally->sent);
    case SLO_RPS: return measured_ns > 0 ? (double)tally->answered * (double)NS_PER_S / (double)measured_ns : 0;
    }
    return 0;
}

bool slo_met(const struct slo_goal *goal, const struct tally *tally, uint64_t measured_ns, double *ret_figure)
{
    double figure = slo_figure(goal, tally, measured_ns);
    *ret_figure = figure;
    if (goal->figure <= SLO_MAX && tally->latency_ns.total == 0)
        return false;
    if (goal->equal && figure >= goal->bound && figure <= goal->bound)
        return true;
    return goal->above ? figure > goal->bound : figure < goal->bound;
}
