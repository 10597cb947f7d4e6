/* two-choices: the less loaded of two random nodes, by their reports and what this dispatcher has sent them since (Mitzenmacher 2001;
 * counting own picks keeps a report that is a heartbeat old from sending everybody to the same node). */
#include "core/policy/policy_methods.h"

static const struct snapshot_member *two_choices_choose(struct pick *pick)
{
    const struct snapshot_member *first = pick_at_random(pick);
    if (!first)
        return NULL;
    /* The second must be another one: for this draw the first counts as taken. */
    pick->slots[pick->slot_count++] = first->slot;
    const struct snapshot_member *second = pick_at_random(pick);
    pick->slot_count--;
    if (!second)
        return first;
    float first_load = node_values_expected_load(&pick->values[first->slot]);
    float second_load = node_values_expected_load(&pick->values[second->slot]);
    return second_load < first_load ? second : first;
}

/* Two different members, each pair as likely as any other: the second is drawn from what the first leaves. */
static void two_choices_draw(struct pick_batch *batch)
{
    struct random_state *random = &batch->state->random;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t count = item->member_count, first, second;
        random_below_two(random, count, count > 1 ? count - 1 : 1, &first, &second);
        second += second >= first;
        item_candidate(batch, item, 0, first);
        item_candidate(batch, item, 1, second < count ? second : 0); /* 0: of one member alone */
    }
}

static void two_choices_choose_batch(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t first = item->candidate[0].slot, second = item->candidate[1].slot;
        item->result = PICK_UNSURE;
        if (UNLIKELY(!node_is_fresh(&batch->values[first]) || !node_is_fresh(&batch->values[second])))
            continue;
        float first_load = node_values_expected_load(&batch->values[first]);
        float second_load = node_values_expected_load(&batch->values[second]);
        uint32_t chosen = second_load < first_load ? second : first;
        pick_count(&batch->values[chosen]);
        item->result = (int)chosen;
    }
}

static void two_choices_keys(const struct pick_state *state, const struct node_values *values,
                             const struct snapshot_member members[], uint32_t count, float ret_keys[])
{
    (void)state;
    for (uint32_t i = 0; i < count; i++)
        ret_keys[i] = node_values_expected_load(&values[members[i].slot]);
}

const struct policy_methods two_choices_methods = {
    .choose = two_choices_choose,
    .keys = two_choices_keys,
    .draw = two_choices_draw,
    .candidate_count = 2,
    .choose_batch = two_choices_choose_batch,
};
