/* An explained pick is the real one, and leaves everything as it was. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/policy/explain.h"
#include "core/policy/finish_time_internal.h"
#include "core/policy/shares.h"

enum { NODES = 12, SERVICE = 77, ORDINAL = 3, ROUNDS = 3000 };
#define S UINT64_C(1000000000)

static struct node_values values[NODES], before[NODES];
static struct snapshot *snapshot;
static struct pick_state state;
static struct finish_time finish;
static struct explanation explanation;

static void setup(void)
{
    struct snapshot_offer offers[NODES + 1];
    struct idle_tokens *tokens;
    for (uint32_t i = 0; i < NODES; i++) {
        values[i].address = (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(7500 + i), .ip = {127, 0, 0, 1}};
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i, .service_ordinal = ORDINAL};
        atomic_store(&values[i].below_mask, 1u << ORDINAL);
        atomic_store(&values[i].slots, 1);
        atomic_store(&values[i].job_code, finish_time_code(0.1f));
        atomic_store(&values[i].job_codes[ORDINAL], finish_time_code(0.1f));
    }
    offers[NODES] = (struct snapshot_offer){.service_id = SERVICE + 1, .slot = UINT32_MAX};
    cr_assert_eq(snapshot_new(NODES, offers, NODES + 1, &snapshot), 0);
    cr_assert_eq(idle_tokens_new(&tokens), 0);
    finish_time_init(&finish, tokens);
    pick_state_init(&state, 1, 1.5f);
    state.finish = &finish;
    state.now_ns = 1000 * S;
}

static void teardown(void)
{
    snapshot_free(snapshot);
    idle_tokens_free(finish.tokens);
}

TestSuite(explain, .init = setup, .fini = teardown);

static int explain(enum policy policy)
{
    return policy_explain(policy, &state, snapshot, values, SERVICE, &explanation);
}

static int pick(enum policy policy)
{
    struct pick_item item = {.service_id = SERVICE};
    policy_pick_batch(policy, &state, snapshot, values, &item, 1);
    return item.result;
}

static const struct explained_node *chosen(void)
{
    const struct explained_node *found = NULL;
    for (uint32_t i = 0; i < explanation.node_count; i++)
        if (explanation.nodes[i].chosen) {
            cr_assert_null(found, "one row is the one that was picked");
            found = &explanation.nodes[i];
        }
    cr_assert_not_null(found);
    return found;
}

/* All that may become of a node, in any mixture. */
static void node_change(struct random_state *random, uint32_t slot)
{
    static const uint16_t flags[] = {0, 0, 0, NODE_VALUE_DISPATCHER, NODE_VALUE_LAST, NODE_VALUE_DRAIN};
    atomic_store(&values[slot].flags, flags[random_below(random, 6)]);
    atomic_store(&values[slot].below_mask, (uint16_t)(random_below(random, 2) << ORDINAL));
    atomic_store(&values[slot].load_index, (float)random_unit(random));
    atomic_store(&values[slot].free, finish_units_of(state.now_ns - S / 2 + random_below(random, S)));
    atomic_store(&values[slot].job_codes[ORDINAL], (uint8_t)(random_below(random, 4) ? 130 + random_below(random, 20) : 0));
    if (random_below(random, 2) == 0 && atomic_load(&values[slot].token) == 0) {
        atomic_store(&values[slot].token, (uint8_t)(NODE_TOKEN_HELD | (random_below(random, 2) ? NODE_TOKEN_IDLE : 0)));
        idle_tokens_push(finish.tokens, SERVICE, slot, ORDINAL, 0);
    }
}

static void expect_explained_is_picked(enum policy policy)
{
    struct random_state random;
    uint32_t seen[EXPLAIN_REASONS] = {0};
    random_init(&random, 5);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t k = 0; k < 4; k++)
            node_change(&random, random_below(&random, NODES));
        atomic_store(&finish.age_s, random_below(&random, 4) == 0 ? 10.0f : 0.1f);
        struct pick_state as_it_was = state;
        memcpy(before, values, sizeof(before));
        int error = explain(policy);
        cr_assert_eq(memcmp(before, values, sizeof(before)), 0, "values were changed");
        cr_assert_eq(memcmp(&as_it_was, &state, sizeof(state)), 0, "the generator was used");
        int picked = pick(policy);
        cr_assert_eq(error < 0 ? error : (int)explanation.slot, picked);
        if (error < 0)
            continue;
        seen[explanation.reason]++;
        cr_assert_eq((int)chosen()->slot, picked);
    }
    for (uint32_t i = 0; i < EXPLAIN_REASONS && policy == POLICY_FINISH_TIME; i++)
        if (i >= EXPLAIN_SMALLEST_KEY && i <= EXPLAIN_DRAWN_ANEW)
            cr_expect_gt(seen[i], 0, "never: %s", explain_reason_texts[i]);
}

Test(explain, an_unknown_service_and_one_without_nodes_are_told_apart)
{
    cr_expect_eq(policy_explain(POLICY_RANDOM, &state, snapshot, values, SERVICE + 2, &explanation), USHER_ENOSERVICE);
    cr_expect_eq(policy_explain(POLICY_RANDOM, &state, snapshot, values, SERVICE + 1, &explanation), USHER_ENONODE);
}

Test(explain, where_all_are_drained_there_is_no_node)
{
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_DRAIN);
    for (enum policy policy = 0; policy < POLICIES; policy++)
        cr_expect_eq(explain(policy), USHER_ENONODE, "%s", policy_rows[policy].name);
}

Test(explain, two_choices_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_TWO_CHOICES);
}

Test(explain, below_average_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_BELOW_AVERAGE);
}

Test(explain, random_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_RANDOM);
}

Test(explain, round_robin_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_ROUND_ROBIN);
}

Test(explain, finish_time_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_FINISH_TIME);
}

Test(explain, weighted_without_weights_is_the_real_pick)
{
    expect_explained_is_picked(POLICY_WEIGHTED);
    cr_expect_neq(explanation.reason, EXPLAIN_WEIGHT);
}

Test(explain, weighted_is_the_real_pick)
{
    struct shares_build build;
    struct snapshot_share shares[NODES];
    float weights[NODES];
    const struct snapshot_member *members = snapshot_service_find(snapshot, SERVICE)->members;
    for (uint32_t i = 0; i < NODES; i++) {
        weights[i] = (float)i;
        shares[i] = share_whole(members[i]);
    }
    shares_begin(&build, members, weights, NODES * (NODES - 1) / 2.0, shares, NODES);
    while (!shares_continue(&build, NODES))
        ;
    snapshot_put(snapshot, SERVICE, members, shares, NODES);
    expect_explained_is_picked(POLICY_WEIGHTED);
}

Test(explain, the_keys_of_two_choices_are_expected_loads)
{
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].load_index, (float)i);
    cr_assert_eq(explain(POLICY_TWO_CHOICES), 0);
    cr_assert_eq(explanation.node_count, 2);
    cr_expect_eq(explanation.reason, EXPLAIN_LOWER_LOAD);
    for (uint32_t i = 0; i < 2; i++)
        cr_expect_float_eq(explanation.nodes[i].key, (float)explanation.nodes[i].slot, 1e-6f);
    cr_expect_leq(chosen()->key, explanation.nodes[0].key);
    cr_expect_leq(chosen()->key, explanation.nodes[1].key);
}

Test(explain, a_token_is_said_to_be_the_reason)
{
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].free, finish_units_of(state.now_ns + S));
    atomic_store(&values[5].token, NODE_TOKEN_IDLE | NODE_TOKEN_HELD);
    atomic_store(&values[5].free, finish_units_of(state.now_ns));
    idle_tokens_push(finish.tokens, SERVICE, 5, ORDINAL, 0);
    cr_assert_eq(explain(POLICY_FINISH_TIME), 0);
    cr_expect_eq(explanation.reason, EXPLAIN_IDLE_TOKEN);
    cr_expect_eq(chosen()->slot, 5);
    cr_expect_eq(chosen()->source, EXPLAIN_IDLE);
    cr_expect_eq(explanation.idle_count, 1);
    cr_expect_eq(explanation.node_count, PICK_CANDIDATES_MAX + 1);
}

/* A cluster that has shrunk: tokens of nodes beyond the members' slots, and of a slot's earlier node, are still about. */
Test(explain, tokens_of_nodes_that_have_gone_are_passed_over)
{
    idle_tokens_push(finish.tokens, SERVICE, NODES + 1, ORDINAL, 0);
    idle_tokens_push(finish.tokens, SERVICE, 119999, ORDINAL, 0);
    atomic_store(&values[3].token, (uint8_t)(NODE_TOKEN_IDLE | NODE_TOKEN_TENURE));
    idle_tokens_push(finish.tokens, SERVICE, 3, ORDINAL, 0);
    cr_assert_eq(explain(POLICY_FINISH_TIME), 0);
    cr_expect_eq(explanation.node_count, PICK_CANDIDATES_MAX, "no idle one");
    cr_expect_lt(chosen()->slot, NODES);
}

Test(explain, without_any_fresh_node_an_expired_one_is_picked_and_says_so)
{
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_LAST);
    cr_assert_eq(explain(POLICY_BELOW_AVERAGE), 0);
    cr_expect_eq(explanation.reason, EXPLAIN_NONE_FRESH);
    cr_expect_not(explanation.nodes[0].qualifies);
    cr_expect_eq(chosen()->source, EXPLAIN_ANEW);
}

Test(explain, nobody_below_the_average_is_said)
{
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].below_mask, 0);
    cr_assert_eq(explain(POLICY_BELOW_AVERAGE), 0);
    cr_expect_eq(explanation.reason, EXPLAIN_NONE_TO_TASTE);
}
