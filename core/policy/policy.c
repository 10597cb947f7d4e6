#include "core/policy/policy.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/base/hash.h"

/* Random draws before the pass over all members: with one member in eight acceptable, one call in 70 takes that pass. */
#define POLICY_TRIES 32u

const struct policy_row policy_rows[POLICIES] = {
#define POLICY(symbol, name, built, help) {name, built, help},
#include "core/policy/policies.def"
#undef POLICY
};

/* What is demanded of a node gives way step by step when too few qualify, so that an answer is never empty without need. */
enum demand {
    DEMAND_POLICY, /* all that the policy wants */
    DEMAND_FRESH, /* any fresh node */
    DEMAND_ANY, /* expired ones too */
    DEMANDS,
};

/* One call's working state. */
struct pick {
    enum policy policy;
    enum demand demand;
    struct pick_state *state;
    const struct snapshot *snapshot;
    struct node_values *values;
    const struct pick_query *query;
    const struct snapshot_member *members;
    uint32_t member_count;
    uint32_t *slots;
    uint32_t slot_count;
};

void pick_state_init(struct pick_state *state, uint64_t seed, float queue_factor)
{
    CHECK(queue_factor >= 1);
    random_init(&state->random, seed);
    state->dispatcher_share = 1 / queue_factor;
    /* Cores and dispatchers that start together must not walk in step. */
    for (uint32_t i = 0; i < POLICY_CURSORS; i++)
        state->cursor[i] = (uint32_t)random_next(&state->random);
}

static bool slot_taken(const struct pick *pick, uint32_t slot)
{
    for (uint32_t i = 0; i < pick->slot_count; i++)
        if (pick->slots[i] == slot)
            return true;
    for (uint32_t i = 0; i < pick->query->exclude_count; i++)
        if (address_equal(&pick->query->excludes[i], &pick->snapshot->nodes[slot].address))
            return true;
    return false;
}

static bool member_acceptable(const struct pick *pick, const struct snapshot_member *member)
{
    const struct node_values *values = &pick->values[member->slot];
    uint32_t flags = atomic_load_explicit(&values->flags, memory_order_relaxed);
    if (flags & NODE_VALUE_DRAIN)
        return false;
    if ((flags & NODE_VALUE_LAST) && pick->demand != DEMAND_ANY)
        return false;
    if (pick->policy == POLICY_BELOW_AVERAGE && pick->demand == DEMAND_POLICY) {
        uint32_t below = atomic_load_explicit(&values->below_mask, memory_order_relaxed);
        if (!(below >> member->service_ordinal & 1))
            return false;
    }
    return !slot_taken(pick, member->slot);
}

/* D10 for the policies that do not look at load. */
static float member_share(const struct pick *pick, const struct snapshot_member *member)
{
    bool even = pick->policy != POLICY_RANDOM || !(member->flags & SNAPSHOT_NODE_DISPATCHER);
    return even ? 1 : pick->state->dispatcher_share;
}

/* One pass over all members, each acceptable one as likely as its share: reservoir sampling (Chao 1982). */
static const struct snapshot_member *choose_by_pass(struct pick *pick)
{
    const struct snapshot_member *chosen = NULL;
    double total = 0;
    for (uint32_t i = 0; i < pick->member_count; i++) {
        const struct snapshot_member *member = &pick->members[i];
        if (!member_acceptable(pick, member))
            continue;
        double share = (double)member_share(pick, member);
        total += share;
        if (random_unit(&pick->state->random) * total < share)
            chosen = member;
    }
    return chosen;
}

/* Rejection sampling: exactly uniform among the acceptable ones, whatever their number. */
static const struct snapshot_member *choose_uniform(struct pick *pick)
{
    for (uint32_t i = 0; i < POLICY_TRIES; i++) {
        const struct snapshot_member *member = &pick->members[random_below(&pick->state->random, pick->member_count)];
        float share = member_share(pick, member);
        if (share < 1 && random_unit(&pick->state->random) >= (double)share)
            continue;
        if (member_acceptable(pick, member))
            return member;
    }
    return choose_by_pass(pick);
}

static const struct snapshot_member *choose_two_choices(struct pick *pick)
{
    const struct snapshot_member *first = choose_uniform(pick);
    if (!first)
        return NULL;
    /* The second must be another one: for this draw the first counts as taken. */
    pick->slots[pick->slot_count++] = first->slot;
    const struct snapshot_member *second = choose_uniform(pick);
    pick->slot_count--;
    if (!second)
        return first;
    float first_load = node_values_expected_load(&pick->values[first->slot]);
    float second_load = node_values_expected_load(&pick->values[second->slot]);
    return second_load < first_load ? second : first;
}

/* Whether a dispatcher takes its turn in this lap: the whole part of lap × share grows in just that share of the laps. */
static bool lap_counts(const struct pick *pick, const struct snapshot_member *member, uint32_t lap)
{
    if (!(member->flags & SNAPSHOT_NODE_DISPATCHER))
        return true;
    double share = (double)pick->state->dispatcher_share;
    return (uint64_t)((lap + 1.0) * share) > (uint64_t)((double)lap * share);
}

static const struct snapshot_member *choose_round_robin(struct pick *pick)
{
    uint32_t *cursor = &pick->state->cursor[hash_mix(pick->query->service_id) % POLICY_CURSORS];
    /* With a share of at least a half, two laps give every member a turn; with a smaller one the pass below decides. */
    for (uint64_t i = 0; i < 2 * (uint64_t)pick->member_count; i++) {
        uint32_t position = (*cursor)++;
        const struct snapshot_member *member = &pick->members[position % pick->member_count];
        if (lap_counts(pick, member, position / pick->member_count) && member_acceptable(pick, member))
            return member;
    }
    return choose_by_pass(pick);
}

static const struct snapshot_member *pick_choose(struct pick *pick)
{
    switch (pick->policy) {
    case POLICY_TWO_CHOICES: return choose_two_choices(pick);
    case POLICY_ROUND_ROBIN: return choose_round_robin(pick);
    case POLICY_BELOW_AVERAGE:
    case POLICY_RANDOM: return choose_uniform(pick);
    case POLICY_FINISH_TIME:
    case POLICY_WEIGHTED:
    case POLICIES: break;
    }
    CHECK(policy_rows[pick->policy].built); /* configuration refuses the others */
    return NULL;
}

static void pick_next(struct pick *pick)
{
    for (; pick->demand < DEMANDS; pick->demand++) {
        const struct snapshot_member *member = pick_choose(pick);
        if (!member)
            continue;
        pick->slots[pick->slot_count++] = member->slot;
        atomic_fetch_add_explicit(&pick->values[member->slot].picks, 1, memory_order_relaxed);
        return;
    }
}

int policy_pick(enum policy policy, struct pick_state *state, const struct snapshot *snapshot, struct node_values *values,
                const struct pick_query *query, uint32_t ret_slots[static PICKS_MAX])
{
    DEBUG_CHECK(query->count >= 1 && query->count <= PICKS_MAX);
    const struct snapshot_service *service = snapshot_service_find(snapshot, query->service_id);
    if (!service)
        return USHER_ENOSERVICE;
    if (service->member_count == 0)
        return USHER_ENONODE;
    struct pick pick = {
        .policy = policy,
        .state = state,
        .snapshot = snapshot,
        .values = values,
        .query = query,
        .members = snapshot->members + service->first_member,
        .member_count = service->member_count,
        .slots = ret_slots,
    };
    while (pick.slot_count < query->count && pick.demand < DEMANDS)
        pick_next(&pick);
    return pick.slot_count ? (int)pick.slot_count : USHER_ENONODE;
}
