#include "bench/load/distribution.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/duration.h"

static const char *distribution_behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

int distribution_parse(const char *text, struct distribution *ret_distribution)
{
    struct distribution distribution = {.kind = DISTRIBUTION_CONSTANT};
    struct duration_range range;
    const char *rest;
    if ((rest = distribution_behind(text, "exp:")) != NULL) {
        distribution.kind = DISTRIBUTION_EXPONENTIAL;
    } else if ((rest = distribution_behind(text, "pareto:")) != NULL) {
        char *end;
        distribution.kind = DISTRIBUTION_PARETO;
        distribution.shape = strtod(rest, &end);
        if (end == rest || *end != ':' || !(distribution.shape > 1) || !isfinite(distribution.shape))
            return -EINVAL;
        rest = end + 1;
    }
    if (duration_range_parse(rest ? rest : text, &range) < 0 || range.max_ns > DISTRIBUTION_NS_MAX)
        return -EINVAL;
    if (range.min_ns != range.max_ns && rest)
        return -EINVAL;
    if (range.min_ns != range.max_ns)
        distribution.kind = DISTRIBUTION_UNIFORM;
    distribution.mean_ns = ((double)range.min_ns + (double)range.max_ns) / 2;
    distribution.spread_ns = ((double)range.max_ns - (double)range.min_ns) / 2;
    *ret_distribution = distribution;
    return 0;
}

uint64_t distribution_draw_ns(const struct distribution *distribution, struct random_state *random)
{
    double ns = distribution->mean_ns, left = 1 - random_unit(random); /* (0, 1] */
    switch (distribution->kind) {
    case DISTRIBUTION_CONSTANT: break;
    case DISTRIBUTION_UNIFORM: ns += distribution->spread_ns * (2 * left - 1); break;
    case DISTRIBUTION_EXPONENTIAL: ns *= -log(left); break;
    case DISTRIBUTION_PARETO: ns *= (distribution->shape - 1) / distribution->shape * pow(left, -1 / distribution->shape); break;
    }
    return ns < (double)DISTRIBUTION_NS_MAX ? (uint64_t)ns : DISTRIBUTION_NS_MAX;
}
