/* round-robin: each node in turn, per core; a dispatcher leaves out some of its turns (D10). */
#include "core/base/hash.h"
#include "core/policy/policy_methods.h"

/* Whether a dispatcher takes its turn in this lap: the whole part of lap × share grows in just that share of the laps. */
static bool lap_counts(const struct pick_state *state, const struct node_values *values, uint32_t lap)
{
    if (!node_is_dispatcher(values))
        return true;
    double share = (double)state->dispatcher_share;
    return (uint64_t)((lap + 1.0) * share) > (uint64_t)((double)lap * share);
}

static uint32_t *cursor_of(struct pick_state *state, uint64_t service_id)
{
    return &state->cursor[hash_mix(service_id) % POLICY_CURSORS];
}

static const struct snapshot_member *round_robin_choose(struct pick *pick)
{
    uint32_t *cursor = cursor_of(pick->state, pick->query->service_id);
    /* With a share of at least a half, two laps give every member a turn; with a smaller one, and of many members, what is below decides. */
    uint32_t turns = pick->member_count <= PASS_MEMBERS_MAX ? 2 * pick->member_count : 2 * PICK_TRIES;
    for (uint32_t i = 0; i < turns; i++) {
        uint32_t turn = (*cursor)++;
        const struct snapshot_member *member = &pick->members[turn % pick->member_count];
        if (lap_counts(pick->state, &pick->values[member->slot], turn / pick->member_count) && pick_accepts(pick, *member))
            return member;
    }
    return pick_of_few(pick);
}

/* A turn whose member does not take it is left out; the general case then goes on behind the batch's last turn. */
static void round_robin_draw(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        item->turn = (*cursor_of(batch->state, item->service_id))++;
        item_candidate(batch, item, 0, item->turn % item->member_count);
    }
}

static void round_robin_choose_batch(struct pick_batch *batch)
{
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t slot = item->candidate[0].slot;
        struct node_values *values = &batch->values[slot];
        item->result = PICK_UNSURE;
        if (UNLIKELY(!node_is_fresh(values)) || !lap_counts(batch->state, values, item->turn / item->member_count))
            continue;
        pick_count(values);
        item->result = (int)slot;
    }
}

const struct policy_methods round_robin_methods = {
    .choose = round_robin_choose,
    .draw = round_robin_draw,
    .candidate_count = 1,
    .choose_batch = round_robin_choose_batch,
};
