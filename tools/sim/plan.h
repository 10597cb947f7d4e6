/* plan - how many nodes a load needs so that a limit holds.
 * Thread: one. */
#pragma once

#include "tools/sim/policies.h"
#include "tools/sim/scenario.h"

enum slo_figure {
    SLO_MEAN,
    SLO_P50,
    SLO_P99,
    SLO_P999,
};

struct slo {
    enum slo_figure figure;
    uint64_t limit_ns;
};

/* mean<50ms, p50<…, p99<…, p999<…. -EINVAL with ret_error. */
NODISCARD int plan_limit_parse(const char *text, struct slo *ret_slo, struct conf_error *ret_error);

struct plan_answer {
    uint32_t nodes;
    double load;
    double figure_ns; /* what the limit is for, with so many nodes */
    uint32_t tried;
};

/* The fewest nodes with which the limit holds at jobs_per_s; the scenario's other fields stand. -ERANGE: not with
 * SCENARIO_NODES_MAX either. -ENOMEM. -EINVAL: it would take too long; ret_error, which others leave alone, says what to change. */
NODISCARD int sim_plan_nodes(struct scenario *scenario, const struct sim_policy *policy, const struct slo *slo, double jobs_per_s,
                             struct plan_answer *ret_answer, struct conf_error *ret_error);
