/* shares - how often each member of a service is to be picked: an alias table (Walker 1977), so that a pick in proportion to weights
 * costs one draw, however many members there are and however unlike their weights.
 *
 * Of as many columns as there are members each is drawn as often. A column belongs to its own member up to `keep`, and the rest of it to
 * another one, which weighs more than the mean. Two sweeps over the members, one for those below the mean and one for those above it,
 * fill the columns without lists of either (Hübschle-Schneider and Sanders, "Parallel Weighted Random Sampling", 2019).
 * Invariant: who weighs nothing gets nothing, unless nobody weighs anything; then all get the same.
 * Thread: one owner for a build, which can be done bit by bit; what it has made is read by every core. Memory: the caller's. */
#pragma once

#include "core/policy/snapshot.h"

struct shares_build {
    const struct snapshot_member *members;
    const float *weights;
    struct snapshot_share *shares;
    uint32_t count;
    double mean;
    double draws; /* of a column's 2^32, for each unit of weight */
    double rest; /* of the heavy one's weight: not in a column yet */
    uint32_t light; /* where to look for the next one below the mean */
    uint32_t heavy; /* the one whose weight fills columns up; count: none yet */
    uint32_t next; /* where to look for the next one above the mean */
};

/* weights: ≥ 0, finite, `total` together. All arrays are `count` long and stay until the build is done. */
void shares_begin(struct shares_build *build, const struct snapshot_member *members, const float *weights, double total,
                  struct snapshot_share *shares, uint32_t count);

/* Goes on for so many steps of constant time, of which there are about three a member. True: done. */
NODISCARD bool shares_continue(struct shares_build *build, uint32_t steps);

/* What a column is before the sweeps: its member's alone. shares_begin wants them like that. */
static inline struct snapshot_share share_whole(struct snapshot_member member)
{
    return (struct snapshot_share){.keep = UINT32_MAX, .other = member};
}

/* Whose the column is, for 32 uniform bits. */
static inline struct snapshot_member share_member(const struct snapshot_member *members, const struct snapshot_share *shares,
                                                  uint32_t column, uint32_t bits)
{
    struct snapshot_member own = members[column];
    struct snapshot_member other = shares[column].other;
    return bits < shares[column].keep ? own : other;
}
