/* below-average: a uniformly random one of the nodes whose load is below the service's average; rm marks them (R3). */
#include "core/policy/policy_methods.h"

/* About half of the nodes are below average, so that one batched pick in sixteen is left to the general case. */
#define CANDIDATES 4u

static bool below_average_accept(const struct node_values *values, struct snapshot_member member)
{
    return atomic_load_explicit(&values->below_mask, memory_order_relaxed) >> member.service_ordinal & 1;
}

static void below_average_draw(struct pick_batch *batch)
{
    struct random_state *random = &batch->state->random;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t positions[CANDIDATES];
        random_below_two(random, item->member_count, item->member_count, &positions[0], &positions[1]);
        random_below_two(random, item->member_count, item->member_count, &positions[2], &positions[3]);
        for (uint32_t k = 0; k < CANDIDATES; k++)
            item_candidate(batch, item, k, positions[k]);
    }
}

/* Of draws at random the first that is acceptable is uniform among the acceptable ones. */
static int below_average_first(struct pick_batch *batch, const struct pick_item *item)
{
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        struct snapshot_member member = item->candidate[i];
        struct node_values *values = &batch->values[member.slot];
        if (!below_average_accept(values, member) || UNLIKELY(!node_is_fresh(values)))
            continue;
        pick_count(values);
        return (int)member.slot;
    }
    return PICK_UNSURE;
}

static void below_average_choose_batch(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++)
        batch->items[i].result = below_average_first(batch, &batch->items[i]);
}

const struct policy_methods below_average_methods = {
    .choose = pick_at_random,
    .accept = below_average_accept,
    .draw = below_average_draw,
    .candidate_count = CANDIDATES,
    .choose_batch = below_average_choose_batch,
};
