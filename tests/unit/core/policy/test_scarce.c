/* Services with many nodes hardly any of which can be handed out: a fleet that has fallen silent, or has been drained. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/errors.h"
#include "core/base/memory.h"
#include "core/policy/policy.h"

enum { MANY = 20000, SERVICE = 7 };

static struct finish_time finish;
static struct pick_state state;
static struct node_values *values;
static struct snapshot *snapshot;

static void fleet_make(uint32_t count, uint16_t flags)
{
    struct snapshot_offer *offers = calloc(count, sizeof(*offers));
    values = memory_new_aligned(count * sizeof(*values));
    cr_assert(offers && values);
    for (uint32_t i = 0; i < count; i++) {
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i};
        values[i].address =
            (struct address){.family = ADDRESS_IPV4, .port = 7500, .ip = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        atomic_store_explicit(&values[i].flags, flags, memory_order_relaxed);
    }
    cr_assert_eq(snapshot_new(count, offers, count, &snapshot), 0);
    free(offers);
    finish_time_init(&finish, NULL);
    pick_state_init(&state, 3, 1.5f);
    state.finish = &finish;
    state.now_ns = 1000000000;
}

static void fleet_free(void)
{
    free(values);
    snapshot_free(snapshot);
}

static int pick_one(enum policy policy)
{
    struct pick_item item = {.service_id = SERVICE};
    policy_pick_batch(policy, &state, snapshot, values, &item, 1);
    return item.result;
}

static void flags_set(uint32_t slot, uint16_t flags)
{
    atomic_store_explicit(&values[slot].flags, flags, memory_order_relaxed);
}

static struct criterion_test_params every_policy(void)
{
    static enum policy policies[POLICIES];
    for (uint32_t i = 0; i < POLICIES; i++)
        policies[i] = (enum policy)i;
    return cr_make_param_array(enum policy, policies, POLICIES);
}

ParameterizedTestParameters(scarce, every_policy_follows_who_comes_and_goes)
{
    return every_policy();
}

ParameterizedTest(enum policy *policy, scarce, every_policy_follows_who_comes_and_goes)
{
    enum { PICKS = 3000, FRESH = 3, REVIVED = MANY - 5 };
    uint32_t counts[FRESH] = {0}, many = 0;
    fleet_make(MANY, NODE_VALUE_LAST);

    /* All are silent: any of them, and not always the same. */
    for (uint32_t i = 0; i < PICKS; i++)
        many += pick_one(*policy) >= MANY / 2;
    cr_expect(many > PICKS / 4 && many < PICKS * 3 / 4, "%u of %d in the second half", many, PICKS);

    /* One comes back: nobody else is handed out from some hundred picks on. */
    flags_set(REVIVED, 0);
    for (uint32_t i = 0; i < MANY / 64 + 1; i++)
        (void)!pick_one(*policy);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(pick_one(*policy), REVIVED, "pick %u", i);

    /* It falls silent again, and three others come back. */
    flags_set(REVIVED, NODE_VALUE_LAST);
    for (uint32_t i = 0; i < FRESH; i++)
        flags_set(i * 1000, 0);
    for (uint32_t i = 0; i < MANY / 64 + 1; i++)
        (void)!pick_one(*policy);
    for (uint32_t i = 0; i < PICKS; i++) {
        int slot = pick_one(*policy);
        cr_assert(slot % 1000 == 0 && slot < FRESH * 1000, "pick %u: %d", i, slot);
        counts[slot / 1000]++;
    }
    for (uint32_t i = 0; i < FRESH; i++)
        cr_expect_gt(counts[i], PICKS / 10, "%u: %u", i, counts[i]);

    /* What a client excludes is not handed out while there is another one. */
    struct address excludes[FRESH];
    for (uint32_t i = 0; i < FRESH; i++)
        excludes[i] = values[i * 1000].address;
    struct pick_query query = {.service_id = SERVICE, .count = 1, .excludes = excludes, .exclude_count = FRESH - 1};
    uint32_t slots[PICKS_MAX];
    cr_assert_eq(policy_pick(*policy, &state, snapshot, values, &query, slots), 1);
    cr_assert_eq(slots[0], (FRESH - 1) * 1000);
    query.exclude_count = FRESH;
    cr_assert_eq(policy_pick(*policy, &state, snapshot, values, &query, slots), 1);
    cr_assert_neq(slots[0] % 1000, 0);

    for (uint32_t i = 0; i < MANY; i++)
        flags_set(i, NODE_VALUE_DRAIN);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(pick_one(*policy), USHER_ENONODE);
    fleet_free();
}

ParameterizedTestParameters(scarce, at_once_after_10_ms)
{
    return every_policy();
}

/* Whoever asks now and then is not told that there is none when there is one. */
ParameterizedTest(enum policy *policy, scarce, at_once_after_10_ms)
{
    fleet_make(MANY, NODE_VALUE_DRAIN);
    for (uint32_t slot = 0; slot < MANY; slot += 1999) {
        cr_assert_eq(pick_one(*policy), USHER_ENONODE);
        flags_set(slot, 0);
        state.now_ns += 10000000;
        cr_assert_eq(pick_one(*policy), (int)slot);
        flags_set(slot, NODE_VALUE_DRAIN);
    }
    fleet_free();
}

Test(scarce, nodes_of_a_rack_are_handed_out_alike)
{
    enum { FIRST = 5000, RACK = 200, EACH = 1000 };
    uint32_t counts[RACK] = {0};
    fleet_make(MANY, NODE_VALUE_LAST);
    for (uint32_t i = 0; i < RACK; i++)
        flags_set(FIRST + i, 0);
    for (uint32_t i = 0; i < RACK * EACH; i++) {
        int slot = pick_one(POLICY_RANDOM);
        cr_assert(slot >= FIRST && slot < FIRST + RACK);
        counts[slot - FIRST]++;
    }
    for (uint32_t i = 0; i < RACK; i++)
        cr_expect(counts[i] > EACH / 2 && counts[i] < 2 * EACH, "%u: %u", i, counts[i]);
    fleet_free();
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The least of some rounds: no machine that stands still makes that longer. */
static double picks_s(uint32_t count)
{
    double least = 1e9;
    fleet_make(count, NODE_VALUE_LAST);
    (void)!pick_one(POLICY_FINISH_TIME);
    for (uint32_t round = 0; round < 10; round++) {
        double begin = cpu_s();
        for (uint32_t i = 0; i < 100; i++)
            (void)!pick_one(POLICY_FINISH_TIME);
        double took = cpu_s() - begin;
        least = took < least ? took : least;
    }
    fleet_free();
    return least;
}

Test(scarce, a_pick_among_silent_ones_does_not_take_longer_the_more_there_are)
{
    double few = picks_s(2000), many = picks_s(100000);
    cr_assert_lt(many, 20 * few, "%g us and %g us", few * 1e4, many * 1e4);
}
