/* slo - goals that a run must meet: 'p99<1ms,max<=20ms,lost<0.1%,rps>50000'.
 * Thread: any. Pure. Memory: in place. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/tally.h"
#include "core/base/macros.h"
#include "core/conf/conf.h"

#define SLO_GOALS_MAX 16
#define SLO_TEXT_BYTES 32

enum slo_figure {
    SLO_QUANTILE, /* p50, p99, p99.9 …: a duration */
    SLO_MEAN,
    SLO_MAX,
    SLO_LOST, /* per cent of what was sent */
    SLO_ERRORS,
    SLO_RPS, /* answered per second */
};

struct slo_goal {
    char text[SLO_TEXT_BYTES]; /* as it was given, without spaces */
    enum slo_figure figure;
    double quantile; /* 0 … 1 */
    bool above; /* '>' */
    bool equal; /* the bound itself will do */
    double bound; /* ns, per cent, or requests per second */
};

struct slo {
    uint32_t count;
    struct slo_goal goal[SLO_GOALS_MAX];
};

/* text NULL: no goals. Spaces may be round goals and their operators. reply_timeout_ns: how long what was lost counts as, so that no latency
 * is longer. -EINVAL with ret_error: no goals, or one that no run can meet, or none can miss. */
NODISCARD int slo_parse(const char *text, uint64_t reply_timeout_ns, struct slo *ret_slo, struct conf_error *ret_error);

/* Whether the run has reached the goal, and what it has reached, in the bound's unit. Latencies of nothing meet no goal. */
bool slo_met(const struct slo_goal *goal, const struct tally *tally, uint64_t measured_ns, double *ret_figure);
