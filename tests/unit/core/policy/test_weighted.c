/* The weighted policy and the shares that it draws from. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/policy/policy.h"
#include "core/policy/shares.h"

enum { NODES_MAX = 1000, SERVICE = 77, PICKS = 100000, PICKS_PER_BATCH = 50 };

static struct node_values values[NODES_MAX];
static struct snapshot_member members[NODES_MAX];
static struct snapshot_share shares[NODES_MAX];
static float weights[NODES_MAX];
static struct snapshot *snapshot;
static struct pick_state state;
static uint32_t node_count;
static uint32_t seen[NODES_MAX];

static void setup(void)
{
    memset(values, 0, sizeof(values));
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < NODES_MAX; i++)
        values[i].address = (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(7500 + i), .ip = {127, 0, 0, 1}};
    pick_state_init(&state, 1, 1.5f);
    cr_assert_eq(snapshot_new_table(1, &snapshot), 0);
}

static void teardown(void)
{
    snapshot_free(snapshot);
}

/* In many pieces of `steps`. The slots run against the positions. */
static void weigh(uint32_t count, uint32_t steps)
{
    struct shares_build build;
    double total = 0;
    uint32_t pieces = 0;
    node_count = count;
    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct snapshot_member){.slot = (count - 1 - i) & (SNAPSHOT_SLOTS_MAX - 1)};
        shares[i] = share_whole(members[i]);
        total += (double)weights[i];
    }
    shares_begin(&build, members, weights, total, shares, count);
    while (!shares_continue(&build, steps))
        cr_assert_lt(++pieces * steps, 4 * count + 4, "about three steps a member");
    snapshot_put(snapshot, SERVICE, members, shares, count);
}

static float weight_of(uint32_t slot)
{
    return weights[node_count - 1 - slot];
}

/* What each member gets of all draws, exactly. */
static double share_of(uint32_t slot)
{
    double share = 0;
    for (uint32_t i = 0; i < node_count; i++) {
        double keep = shares[i].keep / 0x1p32;
        share += members[i].slot == slot ? keep : 0;
        share += shares[i].other.slot == slot ? 1 - keep : 0;
    }
    return share / node_count;
}

static void expect_shares(void)
{
    double total = 0;
    for (uint32_t i = 0; i < node_count; i++)
        total += (double)weights[i];
    for (uint32_t slot = 0; slot < node_count; slot++)
        cr_expect_float_eq(share_of(slot), (double)weight_of(slot) / total, 1e-9, "slot %u of %u", slot, node_count);
}

static int pick(uint32_t count, uint32_t slots[static PICKS_MAX])
{
    struct pick_query query = {.service_id = SERVICE, .count = count};
    return policy_pick(POLICY_WEIGHTED, &state, snapshot, values, &query, slots);
}

/* Half of them one by one, half in batches. */
static void picks_count(void)
{
    struct pick_item items[PICKS_PER_BATCH];
    uint32_t slots[PICKS_MAX];
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < PICKS / 2; i++) {
        cr_assert_eq(pick(1, slots), 1);
        seen[slots[0]]++;
    }
    for (int done = 0; done < PICKS / 2; done += PICKS_PER_BATCH) {
        for (int i = 0; i < PICKS_PER_BATCH; i++)
            items[i].service_id = SERVICE;
        policy_pick_batch(POLICY_WEIGHTED, &state, snapshot, values, items, PICKS_PER_BATCH);
        for (int i = 0; i < PICKS_PER_BATCH; i++) {
            cr_assert_geq(items[i].result, 0);
            seen[items[i].result]++;
        }
    }
}

static double chi_squared(bool (*counts)(uint32_t slot))
{
    double total = 0, sum = 0;
    for (uint32_t slot = 0; slot < node_count; slot++)
        total += counts(slot) ? (double)weight_of(slot) : 0;
    for (uint32_t slot = 0; slot < node_count; slot++) {
        if (!counts(slot)) {
            cr_expect_eq(seen[slot], 0, "slot %u", slot);
            continue;
        }
        double wanted = PICKS * (double)weight_of(slot) / total;
        sum += (seen[slot] - wanted) * (seen[slot] - wanted) / wanted;
    }
    return sum;
}

static bool weighs_something(uint32_t slot)
{
    return weight_of(slot) > 0;
}

static bool is_not_drained(uint32_t slot)
{
    return weighs_something(slot) && !(atomic_load(&values[slot].flags) & NODE_VALUE_DRAIN);
}

Test(shares, of_nobody_who_weighs_anything_are_alike, .init = setup, .fini = teardown)
{
    memset(weights, 0, sizeof(weights));
    weigh(7, 1);
    for (uint32_t slot = 0; slot < 7; slot++)
        cr_expect_float_eq(share_of(slot), 1.0 / 7, 1e-9);
}

Test(shares, of_one_member_are_all, .init = setup, .fini = teardown)
{
    weights[0] = 0.001f;
    weigh(1, 1);
    cr_expect_float_eq(share_of(0), 1, 1e-9);
}

Test(shares, of_who_weighs_nothing_are_nothing, .init = setup, .fini = teardown)
{
    for (uint32_t i = 0; i < 100; i++)
        weights[i] = i % 3 ? 0 : 0.1f;
    weigh(100, 3);
    for (uint32_t i = 0; i < 100; i++)
        cr_expect(weights[i] > 0 || shares[i].keep == 0, "position %u", i);
    expect_shares();
}

/* By hand: of 1, 2, 5 the mean is 8/3; the columns are 3/8 of the first and 6/8 of the second, filled up by the third, and its own. */
Test(shares, of_three_are_as_computed_by_hand, .init = setup, .fini = teardown)
{
    weights[0] = 1, weights[1] = 2, weights[2] = 5;
    weigh(3, 1);
    cr_expect_float_eq(shares[0].keep / 0x1p32, 3.0 / 8, 1e-9);
    cr_expect_float_eq(shares[1].keep / 0x1p32, 6.0 / 8, 1e-9);
    cr_expect_eq(shares[2].keep, UINT32_MAX);
    cr_expect_eq(shares[0].other.slot, members[2].slot);
    cr_expect_eq(shares[1].other.slot, members[2].slot);
}

Test(shares, of_any_weights_are_in_proportion, .init = setup, .fini = teardown)
{
    struct random_state random;
    random_init(&random, 7);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t count = 1 + random_below(&random, 60);
        for (uint32_t i = 0; i < count; i++)
            weights[i] = (float)random_unit(&random) * (float)(1u << random_below(&random, 20)) * (float)random_below(&random, 4);
        weights[random_below(&random, count)] = 1;
        weigh(count, 1 + round % 5);
        expect_shares();
    }
}

/* 9 degrees of freedom, p = 0.001. */
Test(weighted, picks_are_in_proportion, .init = setup, .fini = teardown)
{
    for (uint32_t i = 0; i < 10; i++)
        weights[i] = (float)(i + 1) / 8;
    weigh(10, 100);
    picks_count();
    cr_expect_lt(chi_squared(weighs_something), 27.9);
}

/* 15 degrees of freedom. */
Test(weighted, the_drained_ones_part_goes_to_the_others_in_proportion, .init = setup, .fini = teardown)
{
    for (uint32_t i = 0; i < 20; i++)
        weights[i] = (float)(1 + i % 5);
    weigh(20, 100);
    for (uint32_t slot = 0; slot < 16; slot += 4)
        atomic_store(&values[slot].flags, NODE_VALUE_DRAIN);
    picks_count();
    cr_expect_lt(chi_squared(is_not_drained), 37.7);
}

/* What one draw in 10⁵ would find is found by a pass. */
Test(weighted, what_a_drained_giant_leaves_is_in_proportion, .init = setup, .fini = teardown)
{
    for (uint32_t i = 0; i < 10; i++)
        weights[i] = (float)(i + 1);
    weights[0] = 1e6f;
    weigh(10, 100);
    atomic_store(&values[9].flags, NODE_VALUE_DRAIN);
    picks_count();
    cr_expect_lt(chi_squared(is_not_drained), 26.1);
}

Test(weighted, a_giant_among_many_gets_its_part, .init = setup, .fini = teardown)
{
    for (uint32_t i = 0; i < NODES_MAX; i++)
        weights[i] = 1;
    weights[500] = 999;
    weigh(NODES_MAX, 64);
    picks_count();
    cr_expect_float_eq((double)seen[NODES_MAX - 1 - 500], PICKS / 2, 5 * 158.0, "five standard deviations");
}

Test(weighted, picks_all_alike_when_all_weigh_nothing, .init = setup, .fini = teardown)
{
    memset(weights, 0, sizeof(weights));
    weigh(10, 100);
    picks_count();
    for (uint32_t slot = 0; slot < 10; slot++)
        cr_expect_float_eq((double)seen[slot], PICKS / 10, 5 * 95.0, "five standard deviations");
}

Test(weighted, gives_who_weighs_nothing_when_more_are_asked_for, .init = setup, .fini = teardown)
{
    uint32_t slots[PICKS_MAX];
    memset(weights, 0, sizeof(weights));
    weights[2] = 5;
    weigh(4, 100);
    cr_assert_eq(pick(16, slots), 4);
    cr_expect_eq(slots[0], 1, "the one that weighs something comes first");
    cr_expect_eq((1u << slots[0]) | (1u << slots[1]) | (1u << slots[2]) | (1u << slots[3]), 15u, "all are distinct");
}

Test(weighted, gives_who_weighs_nothing_when_the_others_are_drained, .init = setup, .fini = teardown)
{
    uint32_t slots[PICKS_MAX];
    memset(weights, 0, sizeof(weights));
    weights[2] = 5;
    weigh(3, 100);
    atomic_store(&values[0].flags, NODE_VALUE_DRAIN);
    cr_assert_eq(pick(16, slots), 2);
    atomic_store(&values[1].flags, NODE_VALUE_DRAIN);
    atomic_store(&values[2].flags, NODE_VALUE_LAST);
    cr_assert_eq(pick(16, slots), 1);
    cr_expect_eq(slots[0], 2);
    atomic_store(&values[2].flags, NODE_VALUE_DRAIN);
    cr_expect_eq(pick(1, slots), USHER_ENONODE);
}

Test(weighted, picks_all_alike_until_there_are_shares, .init = setup, .fini = teardown)
{
    weigh(10, 100);
    snapshot_put(snapshot, SERVICE, members, NULL, 10);
    picks_count();
    for (uint32_t slot = 0; slot < 10; slot++)
        cr_expect_float_eq((double)seen[slot], PICKS / 10, 5 * 95.0, "five standard deviations");
}
