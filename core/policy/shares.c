#include "core/policy/shares.h"

void shares_begin(struct shares_build *build, const struct snapshot_member *members, const float *weights, double total,
                  struct snapshot_share *shares, uint32_t count)
{
    *build = (struct shares_build){
        .members = members,
        .weights = weights,
        .shares = shares,
        .count = count,
        .mean = total / count,
        .heavy = count,
    };
    /* Nothing to sweep: all columns stay whole. */
    if (total <= 0)
        build->next = count;
    else
        build->draws = 0x1p32 / build->mean;
}

static void column_set(struct shares_build *build, uint32_t column, double weight, uint32_t other)
{
    double keep = weight * build->draws;
    build->shares[column] = (struct snapshot_share){
        .keep = keep < UINT32_MAX ? (uint32_t)keep : UINT32_MAX,
        .other = build->members[other],
    };
}

static bool is_heavy(const struct shares_build *build, uint32_t position)
{
    return (double)build->weights[position] > build->mean;
}

/* False: there is nothing left to do. Where either side ends before the other, it is by what rounding has left over of a column that is
 * as good as whole. */
static inline bool step(struct shares_build *build)
{
    if (build->next < build->count && !is_heavy(build, build->next)) {
        build->next++;
        return true;
    }
    if (build->heavy < build->count && build->rest > build->mean) {
        if (build->light == build->count)
            return false;
        uint32_t light = build->light++;
        if (is_heavy(build, light))
            return true;
        double weight = (double)build->weights[light];
        column_set(build, light, weight, build->heavy);
        build->rest -= build->mean - weight;
        return true;
    }
    if (build->next == build->count)
        return false;
    /* The heavy one has become a light one: the next fills its column up. */
    double lacking = 0;
    if (build->heavy < build->count) {
        column_set(build, build->heavy, build->rest, build->next);
        lacking = build->mean - build->rest;
    }
    build->heavy = build->next++;
    build->rest = (double)build->weights[build->heavy] - lacking;
    return true;
}

bool shares_continue(struct shares_build *build, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (!step(build))
            return true;
    return false;
}
