/* random: a uniformly random node; a dispatcher is taken less often (D10). */
#include "core/policy/policy_methods.h"

static double random_share(const struct pick_state *state, const struct node_values *values)
{
    return node_is_dispatcher(values) ? (double)state->dispatcher_share : 1;
}

static void random_draw(struct pick_batch *batch)
{
    struct random_state *random = &batch->state->random;
    for (uint32_t i = 0; i < batch->item_count; i++)
        item_candidate(batch, &batch->items[i], 0, random_below(random, batch->items[i].member_count));
}

static void random_choose_batch(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        uint32_t slot = batch->items[i].candidate[0].slot;
        struct node_values *values = &batch->values[slot];
        batch->items[i].result = PICK_UNSURE;
        if (UNLIKELY(!node_is_fresh(values)))
            continue;
        if (node_is_dispatcher(values) && random_unit(&batch->state->random) >= (double)batch->state->dispatcher_share)
            continue;
        pick_count(values);
        batch->items[i].result = (int)slot;
    }
}

const struct policy_methods random_methods = {
    .choose = pick_at_random,
    .share = random_share,
    .draw = random_draw,
    .candidate_count = 1,
    .choose_batch = random_choose_batch,
};
