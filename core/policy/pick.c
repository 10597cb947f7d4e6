/* What the policies share: whom they may hand out at all, and random choice among these. */
#include "core/policy/policy_methods.h"

static bool slot_is_taken(const struct pick *pick, uint32_t slot)
{
    for (uint32_t i = 0; i < pick->slot_count; i++)
        if (pick->slots[i] == slot)
            return true;
    for (uint32_t i = 0; i < pick->query->exclude_count; i++)
        if (address_equal(&pick->query->excludes[i], &pick->values[slot].address))
            return true;
    return false;
}

bool pick_accepts(const struct pick *pick, struct snapshot_member member)
{
    const struct node_values *values = &pick->values[member.slot];
    uint32_t flags = atomic_load_explicit(&values->flags, memory_order_relaxed);
    if (flags & NODE_VALUE_DRAIN)
        return false;
    if ((flags & NODE_VALUE_LAST) && pick->demand != DEMAND_ANY)
        return false;
    if (pick->demand == DEMAND_POLICY && pick->methods->accept && !pick->methods->accept(values, member))
        return false;
    return !slot_is_taken(pick, member.slot);
}

static double member_share(const struct pick *pick, struct snapshot_member member)
{
    return pick->methods->share ? pick->methods->share(pick->state, &pick->values[member.slot]) : 1;
}

const struct snapshot_member *pick_by_pass(struct pick *pick)
{
    const struct snapshot_member *chosen = NULL;
    double total = 0;
    for (uint32_t i = 0; i < pick->member_count; i++) {
        const struct snapshot_member *member = &pick->members[i];
        if (!pick_accepts(pick, *member))
            continue;
        double share = member_share(pick, *member);
        total += share;
        if (random_unit(&pick->state->random) * total < share)
            chosen = member;
    }
    return chosen;
}

const struct snapshot_member *pick_at_random(struct pick *pick)
{
    for (uint32_t i = 0; i < PICK_TRIES; i++) {
        const struct snapshot_member *member = &pick->members[random_below(&pick->state->random, pick->member_count)];
        double share = member_share(pick, *member);
        if (share < 1 && random_unit(&pick->state->random) >= share)
            continue;
        if (pick_accepts(pick, *member))
            return member;
    }
    return pick_by_pass(pick);
}
