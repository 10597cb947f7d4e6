#include "core/policy/policy.h"

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/policy/policy_methods.h"

const struct policy_row policy_rows[POLICIES] = {
#define POLICY(symbol, name, help) {name, help},
#include "core/policy/policies.def"
#undef POLICY
};

static const struct policy_methods *const methods_of[POLICIES] = {
    [POLICY_TWO_CHOICES] = &two_choices_methods, [POLICY_BELOW_AVERAGE] = &below_average_methods,
    [POLICY_RANDOM] = &random_methods,           [POLICY_ROUND_ROBIN] = &round_robin_methods,
    [POLICY_FINISH_TIME] = &finish_time_methods, [POLICY_WEIGHTED] = &weighted_methods,
};

void pick_state_init(struct pick_state *state, uint64_t seed, float queue_factor)
{
    CHECK(queue_factor >= 1);
    random_init(&state->random, seed);
    state->dispatcher_share = 1 / queue_factor;
    /* Cores and dispatchers that start together must not walk in step. */
    for (uint32_t i = 0; i < POLICY_CURSORS; i++)
        state->cursor[i] = (uint32_t)random_next(&state->random);
    for (uint32_t i = 0; i < TOKEN_RINGS; i++)
        state->windows[i].picks = state->cursor[i % POLICY_CURSORS] * PICK_WINDOW_RUN;
    for (uint32_t i = 0; i < PICK_SCARCES; i++)
        state->scarces[i] = (struct pick_scarce){0};
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++)
        state->walk[i] = (uint32_t)random_next(&state->random);
}

static void pick_next(struct pick *pick)
{
    for (; pick->demand < DEMANDS; pick->demand++) {
        const struct snapshot_member *member = pick->methods->choose(pick);
        if (!member)
            continue;
        pick->slots[pick->slot_count++] = member->slot;
        pick_count(&pick->values[member->slot]);
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
        .methods = methods_of[policy],
        .state = state,
        .values = values,
        .query = query,
        .members = service->members,
        .shares = service->shares,
        .member_count = service->member_count,
        .slots = ret_slots,
    };
    while (pick.slot_count < query->count && pick.demand < DEMANDS)
        pick_next(&pick);
    return pick.slot_count ? (int)pick.slot_count : USHER_ENONODE;
}

const struct policy_methods *policy_methods_of(enum policy policy)
{
    return methods_of[policy];
}

__attribute__((noinline, cold)) int pick_general(enum policy policy, struct pick_batch *batch, const struct snapshot *snapshot,
                                                 uint64_t service_id)
{
    uint32_t slots[PICKS_MAX];
    struct pick_query query = {.service_id = service_id, .count = 1};
    int count = policy_pick(policy, batch->state, snapshot, batch->values, &query, slots);
    return count < 0 ? count : (int)slots[0];
}

/* Items whose services have members. */
static void batch_run(enum policy policy, struct pick_batch *batch, const struct snapshot *snapshot)
{
    const struct policy_methods *methods = methods_of[policy];
    CHECK(methods);
    methods->draw(batch);
    methods->choose_batch(batch);
    for (uint32_t i = 0; i < batch->item_count; i++)
        if (UNLIKELY(batch->items[i].result == PICK_UNSURE))
            batch->items[i].result = pick_general(policy, batch, snapshot, batch->items[i].service_id);
}

void policy_pick_batch(enum policy policy, struct pick_state *state, const struct snapshot *snapshot, struct node_values *values,
                       struct pick_item items[], uint32_t item_count)
{
    DEBUG_CHECK(item_count <= PICK_BATCH_MAX);
    struct pick_batch batch = {.state = state, .values = values, .items = items};
    for (uint32_t i = 0; i < item_count; i++) {
        const struct snapshot_service *service = snapshot_service_find(snapshot, items[i].service_id);
        if (LIKELY(service && service->member_count)) {
            items[i].members = service->members;
            items[i].shares = service->shares;
            items[i].member_count = service->member_count;
            batch.item_count++;
            continue;
        }
        /* What came before it goes first; the rest is a batch of its own. */
        batch_run(policy, &batch, snapshot);
        items[i].result = service ? USHER_ENONODE : USHER_ENOSERVICE;
        batch.items = &items[i + 1];
        batch.item_count = 0;
    }
    batch_run(policy, &batch, snapshot);
}
