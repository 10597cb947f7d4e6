/* weighted: at random in proportion to the weights that rm has computed (R5), in which a dispatcher's is divided already (D10). Where
 * there are no shares yet, a uniformly random node. Nodes that weigh nothing are handed out when no other qualifies. */
#include "core/policy/policy_methods.h"
#include "core/policy/shares.h"

/* Of all that has been drawn from so far each as likely as its part; `part` joins in. */
static void part_draw(struct pick *pick, const struct snapshot_member *member, uint32_t part, double *total,
                      const struct snapshot_member **chosen)
{
    if (part == 0 || !pick_accepts(pick, *member))
        return;
    *total += part;
    if (random_unit(&pick->state->random) * *total < part)
        *chosen = member;
}

/* Exact, over all columns: for few that qualify. */
static const struct snapshot_member *weighted_by_pass(struct pick *pick)
{
    const struct snapshot_member *chosen = NULL;
    double total = 0;
    for (uint32_t i = 0; i < pick->member_count; i++) {
        const struct snapshot_share *share = &pick->shares[i];
        part_draw(pick, &pick->members[i], share->keep, &total, &chosen);
        part_draw(pick, &share->other, UINT32_MAX - share->keep, &total, &chosen);
    }
    return chosen;
}

static const struct snapshot_member *weighted_choose(struct pick *pick)
{
    if (!pick->shares || pick->demand != DEMAND_POLICY)
        return pick_at_random(pick);
    for (uint32_t i = 0; i < PICK_TRIES; i++) {
        uint64_t bits = random_next(&pick->state->random);
        uint32_t column = random_reduce(&pick->state->random, (uint32_t)(bits >> 32), pick->member_count);
        const struct snapshot_share *share = &pick->shares[column];
        const struct snapshot_member *member = (uint32_t)bits < share->keep ? &pick->members[column] : &share->other;
        if (pick_accepts(pick, *member))
            return member;
    }
    return pick_has_none(pick) ? NULL : weighted_by_pass(pick);
}

/* Twice over the batch: a column's memory is waited for before the node's values can be asked for. */
static void weighted_draw(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint64_t bits = random_next(&batch->state->random);
        item->column = random_reduce(&batch->state->random, (uint32_t)(bits >> 32), item->member_count);
        item->bits = (uint32_t)bits;
        __builtin_prefetch(&item->members[item->column]);
        if (item->shares)
            __builtin_prefetch(&item->shares[item->column]);
    }
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        if (LIKELY(item->shares))
            member_candidate(batch, item, 0, share_member(item->members, item->shares, item->column, item->bits));
        else
            item_candidate(batch, item, 0, item->column);
    }
}

static void weighted_choose_batch(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t slot = item->candidate[0].slot;
        item->result = PICK_UNSURE;
        if (UNLIKELY(!node_is_fresh(&batch->values[slot])))
            continue;
        pick_count(&batch->values[slot]);
        item->result = (int)slot;
    }
}

const struct policy_methods weighted_methods = {
    .choose = weighted_choose,
    .draw = weighted_draw,
    .candidate_count = 1,
    .choose_batch = weighted_choose_batch,
};
