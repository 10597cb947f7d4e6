#include "bench/load/slo.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/duration.h"

#define SLO_OPERATORS "<>"
#define SLO_WHOLE 100.0 /* per cent */

struct slo_name {
    const char *name;
    enum slo_figure figure;
};

static const struct slo_name slo_names[] = {
    {"mean", SLO_MEAN}, {"max", SLO_MAX}, {"lost", SLO_LOST}, {"errors", SLO_ERRORS}, {"rps", SLO_RPS},
};

/* What is wrong with the name; NULL: nothing. */
static const char *slo_parse_figure(const char *text, size_t length, struct slo_goal *goal)
{
    char *end;
    for (size_t i = 0; i < ARRAY_COUNT(slo_names); i++) {
        if (strlen(slo_names[i].name) != length || strncmp(slo_names[i].name, text, length) != 0)
            continue;
        goal->figure = slo_names[i].figure;
        return NULL;
    }
    if (text[0] != 'p' || text[1] < '0' || text[1] > '9')
        return "that is no figure";
    goal->figure = SLO_QUANTILE;
    goal->quantile = strtod(text + 1, &end) / 100;
    if (end != text + length)
        return "that is no percentile";
    return goal->quantile <= 1 ? NULL : "percentiles end at p100";
}

static const char *slo_parse_duration(const char *text, struct slo_goal *goal)
{
    uint64_t bound_ns;
    if (duration_parse(text, &bound_ns) < 0)
        return "the bound must be a duration with its unit, such as 1ms";
    goal->bound = (double)bound_ns;
    return bound_ns > 0 ? NULL : "nothing takes no time: give a longer bound";
}

/* A share in per cent, or a rate. */
static const char *slo_parse_number(const char *text, struct slo_goal *goal)
{
    bool share = goal->figure != SLO_RPS;
    char *end;
    goal->bound = strtod(text, &end);
    if (end == text || strcmp(end, share ? "%" : "") != 0 || !isfinite(goal->bound) || goal->bound < 0)
        return share ? "the bound must be a share, such as 0.1%" : "the bound must be a number, such as 50000";
    if (share && !goal->equal && goal->bound <= 0)
        return "nothing is less than 0%: write <=0%";
    if (goal->figure == SLO_LOST && (goal->bound > SLO_WHOLE || (goal->equal && goal->bound >= SLO_WHOLE)))
        return "no run can lose more than 100%: give a smaller bound";
    return !share && goal->equal && goal->bound <= 0 ? "every run has a rate of 0 or more: give a higher bound" : NULL;
}

static const char *slo_parse_bound(const char *text, struct slo_goal *goal)
{
    if (!*text)
        return "its bound is missing";
    return goal->figure <= SLO_MAX ? slo_parse_duration(text, goal) : slo_parse_number(text, goal);
}

/* What is wrong with it; NULL: nothing. */
static const char *slo_parse_goal(const char *text, struct slo_goal *ret_goal)
{
    struct slo_goal goal = {0};
    size_t length = strcspn(text, SLO_OPERATORS);
    if (!*text)
        return "there is nothing on one side of a comma";
    if (!text[length])
        return "it has no < or >";
    if (strlen(text) >= sizeof(goal.text))
        return "that is too long";
    const char *complaint = slo_parse_figure(text, length, &goal);
    if (complaint)
        return complaint;
    memcpy(goal.text, text, strlen(text));
    goal.above = text[length] == '>';
    goal.equal = text[length + 1] == '=';
    if (goal.above != (goal.figure == SLO_RPS))
        return goal.above ? "only rps can be asked to be above" : "rps must be asked to be above (>)";
    complaint = slo_parse_bound(text + length + 1 + goal.equal, &goal);
    if (!complaint)
        *ret_goal = goal;
    return complaint;
}

/* The goal without the spaces round it and round its operator; what is longer than the room ends there. */
static void slo_squeeze(const char *text, size_t length, char *goal, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used + 1 < room; i++) {
        bool mark = strchr(SLO_OPERATORS "=", text[i]) != NULL;
        bool behind = used == 0 || strchr(SLO_OPERATORS "=", goal[used - 1]) != NULL;
        while (mark && used > 0 && goal[used - 1] == ' ')
            used--;
        if (text[i] != ' ' || !behind)
            goal[used++] = text[i];
    }
    while (used > 0 && goal[used - 1] == ' ')
        used--;
    goal[used] = '\0';
}

/* What was lost counts as the timeout, and nothing takes longer. */
static int slo_check_timeout(const struct slo_goal *goal, uint64_t reply_timeout_ns, struct conf_error *ret_error)
{
    char text[DURATION_TEXT_BYTES];
    double longest_ns = (double)reply_timeout_ns;
    if (goal->figure > SLO_MAX || goal->bound < longest_ns || (goal->bound <= longest_ns && !goal->equal))
        return 0;
    conf_error_set(
        ret_error,
        "--slo \"%s\": every run meets it, for no latency is above --reply-timeout (%s), as which lost requests count; "
        "give a bound below that, or a longer --reply-timeout",
        goal->text, duration_format(reply_timeout_ns, text));
    return -EINVAL;
}

int slo_parse(const char *text, uint64_t reply_timeout_ns, struct slo *ret_slo, struct conf_error *ret_error)
{
    struct slo slo = {0};
    for (bool more = text != NULL; more; slo.count++) {
        char goal[2 * SLO_TEXT_BYTES];
        size_t length = strcspn(text, ",");
        if (slo.count == SLO_GOALS_MAX) {
            conf_error_set(ret_error, "--slo: give %d goals at most", SLO_GOALS_MAX);
            return -EINVAL;
        }
        slo_squeeze(text, length, goal, sizeof(goal));
        const char *complaint = slo_parse_goal(goal, &slo.goal[slo.count]);
        if (complaint) {
            conf_error_set(
                ret_error,
                "--slo \"%s\": %s; give goals such as p99<1ms, p99.9<=5ms, mean<200us, max<20ms, lost<0.1%%, errors<=0%% or "
                "rps>50000, separated by commas",
                goal, complaint);
            return -EINVAL;
        }
        if (slo_check_timeout(&slo.goal[slo.count], reply_timeout_ns, ret_error) < 0)
            return -EINVAL;
        more = text[length] == ',';
        text += length + more;
    }
    *ret_slo = slo;
    return 0;
}

static double slo_share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? SLO_WHOLE * (double)part / (double)whole : 0;
}

/* What was lost took the timeout, no less: the longest of all. The middle of its bucket in the histogram may be below a goal's bound. */
static uint64_t slo_quantile_ns(const struct tally *tally, double fraction)
{
    const struct histogram *latency_ns = &tally->latency_ns;
    bool is_lost = fraction * (double)latency_ns->total > (double)(latency_ns->total - tally->lost);
    return is_lost ? latency_ns->max : histogram_quantile(latency_ns, fraction);
}

static double slo_figure(const struct slo_goal *goal, const struct tally *tally, uint64_t measured_ns)
{
    switch (goal->figure) {
    case SLO_QUANTILE: return (double)slo_quantile_ns(tally, goal->quantile);
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
