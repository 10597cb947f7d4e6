/* distribution - how long jobs take: one duration, or drawn at random.
 * Thread: any; the random state is its owner's. Pure. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"
#include "core/base/random.h"

enum distribution_kind {
    DISTRIBUTION_CONSTANT,
    DISTRIBUTION_UNIFORM,
    DISTRIBUTION_EXPONENTIAL,
    DISTRIBUTION_PARETO,
};

struct distribution {
    enum distribution_kind kind;
    double mean_ns;
    double spread_ns; /* uniform: half the width */
    double shape; /* Pareto: > 1, or there is no mean */
};

/* "10ms", "5ms..20ms" (uniform), "exp:10ms", "pareto:1.5:10ms" (shape, mean). -EINVAL. */
NODISCARD int distribution_parse(const char *text, struct distribution *ret_distribution);

/* At most DISTRIBUTION_NS_MAX, for a Pareto draw has no bound. */
uint64_t distribution_draw_ns(const struct distribution *distribution, struct random_state *random);

#define DISTRIBUTION_NS_MAX UINT64_C(3600000000000) /* an hour */
