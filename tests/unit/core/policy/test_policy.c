/* Placement policies over small hand-made directories. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/policy/policy.h"

enum { NODES = 10, SERVICE = 77, PICKS = 60000 };

static struct node_values values[NODES];
static struct snapshot *snapshot;
static struct pick_state state;
static struct finish_time finish;

static void directory_build(uint32_t dispatcher_count)
{
    struct snapshot_offer offers[NODES + 1];
    memset(values, 0, sizeof(values));
    for (uint32_t i = 0; i < NODES; i++) {
        values[i].address = (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(7500 + i), .ip = {127, 0, 0, 1}};
        if (i < dispatcher_count)
            atomic_store(&values[i].flags, NODE_VALUE_DISPATCHER);
        offers[i] = (struct snapshot_offer){.service_id = SERVICE, .slot = i, .service_ordinal = 3};
        atomic_store(&values[i].below_mask, 1u << 3);
    }
    offers[NODES] = (struct snapshot_offer){.service_id = SERVICE + 1, .slot = UINT32_MAX};
    cr_assert_eq(snapshot_new(NODES, offers, NODES + 1, &snapshot), 0);
    pick_state_init(&state, 1, 1.5f);
    finish_time_init(&finish, NULL);
    state.finish = &finish;
}

static void workers_only(void)
{
    directory_build(0);
}

static void two_dispatchers(void)
{
    directory_build(2);
}

static void directory_free_all(void)
{
    snapshot_free(snapshot);
}

static int pick(enum policy policy, uint32_t count, uint32_t slots[static PICKS_MAX])
{
    struct pick_query query = {.service_id = SERVICE, .count = count};
    return policy_pick(policy, &state, snapshot, values, &query, slots);
}

static void picks_count(enum policy policy, uint32_t seen[static NODES])
{
    uint32_t slots[PICKS_MAX];
    memset(seen, 0, sizeof(*seen) * NODES);
    for (int i = 0; i < PICKS; i++) {
        cr_assert_eq(pick(policy, 1, slots), 1);
        seen[slots[0]]++;
    }
}

/* 9 degrees of freedom at most, p = 0.001. */
static void expect_uniform(const uint32_t seen[static NODES], uint32_t first, uint32_t last)
{
    double expected = (double)PICKS / (last - first + 1);
    double chi_squared = 0;
    for (uint32_t i = first; i <= last; i++)
        chi_squared += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
    cr_expect_lt(chi_squared, 27.9, "chi squared %g", chi_squared);
}

/* What holds for picks one by one and in batches alike; `count` makes PICKS of them. */

static void expect_no_drained_node(void (*count)(enum policy, uint32_t[static NODES]))
{
    uint32_t seen[NODES];
    for (uint32_t i = 1; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_DRAIN);
    for (enum policy policy = 0; policy < POLICIES; policy++) {
        count(policy, seen);
        cr_expect_eq(seen[0], PICKS, "%s", policy_rows[policy].name);
    }
}

static void expect_uniform_among_the_marked(void (*count)(enum policy, uint32_t[static NODES]))
{
    uint32_t seen[NODES];
    for (uint32_t i = 0; i < 6; i++)
        atomic_store(&values[i].below_mask, (uint16_t) ~(1u << 3));
    count(POLICY_BELOW_AVERAGE, seen);
    expect_uniform(seen, 6, NODES - 1);
}

static void expect_turns(void (*count)(enum policy, uint32_t[static NODES]))
{
    uint32_t seen[NODES];
    count(POLICY_ROUND_ROBIN, seen);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect(seen[i] >= PICKS / NODES - 1 && seen[i] <= PICKS / NODES + 1, "%u: %u", i, seen[i]);
}

Test(policy, tells_an_unknown_service_from_one_without_nodes, .init = workers_only, .fini = directory_free_all)
{
    struct pick_query query = {.service_id = SERVICE + 2, .count = 1};
    uint32_t slots[PICKS_MAX];
    cr_expect_eq(policy_pick(POLICY_RANDOM, &state, snapshot, values, &query, slots), USHER_ENOSERVICE);
    query.service_id = SERVICE + 1;
    cr_expect_eq(policy_pick(POLICY_RANDOM, &state, snapshot, values, &query, slots), USHER_ENONODE);
}

Test(policy, never_hands_out_a_drained_node, .init = workers_only, .fini = directory_free_all)
{
    expect_no_drained_node(picks_count);
    atomic_store(&values[0].flags, NODE_VALUE_DRAIN);
    uint32_t slots[PICKS_MAX];
    cr_expect_eq(pick(POLICY_TWO_CHOICES, 1, slots), USHER_ENONODE);
}

Test(policy, hands_out_an_expired_node_only_when_nothing_else_is_left, .init = workers_only, .fini = directory_free_all)
{
    uint32_t slots[PICKS_MAX];
    for (uint32_t i = 0; i < NODES - 1; i++)
        atomic_store(&values[i].flags, NODE_VALUE_LAST);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(pick(POLICY_RANDOM, 1, slots), 1);
        cr_assert_eq(slots[0], NODES - 1);
    }
    atomic_store(&values[NODES - 1].flags, NODE_VALUE_LAST);
    cr_expect_eq(pick(POLICY_RANDOM, 1, slots), 1);
}

Test(policy, gives_distinct_nodes_up_to_what_there_is, .init = workers_only, .fini = directory_free_all)
{
    uint32_t slots[PICKS_MAX];
    for (enum policy policy = 0; policy < POLICIES; policy++) {
        for (int repeat = 0; repeat < 200; repeat++) {
            cr_assert_eq(pick(policy, PICKS_MAX, slots), NODES, "%s", policy_rows[policy].name);
            uint32_t mask = 0;
            for (int i = 0; i < NODES; i++)
                mask |= 1u << slots[i];
            cr_assert_eq(mask, (1u << NODES) - 1);
        }
    }
}

Test(policy, leaves_out_what_the_client_excludes, .init = workers_only, .fini = directory_free_all)
{
    struct address excludes[2] = {values[4].address, values[5].address};
    struct pick_query query = {.service_id = SERVICE, .count = PICKS_MAX, .excludes = excludes, .exclude_count = 2};
    uint32_t slots[PICKS_MAX];
    int count = policy_pick(POLICY_TWO_CHOICES, &state, snapshot, values, &query, slots);
    cr_assert_eq(count, NODES - 2);
    for (int i = 0; i < count; i++)
        cr_expect(slots[i] != 4 && slots[i] != 5);
}

Test(policy, below_average_is_uniform_among_the_marked, .init = workers_only, .fini = directory_free_all)
{
    expect_uniform_among_the_marked(picks_count);
}

Test(policy, below_average_fills_up_with_others_when_more_are_asked_for, .init = workers_only, .fini = directory_free_all)
{
    uint32_t slots[PICKS_MAX];
    for (uint32_t i = 0; i < NODES - 2; i++)
        atomic_store(&values[i].below_mask, 0);
    cr_assert_eq(pick(POLICY_BELOW_AVERAGE, 5, slots), 5);
    cr_expect_geq(slots[0], NODES - 2);
    cr_expect_geq(slots[1], NODES - 2);
    cr_expect_lt(slots[2], NODES - 2);
}

Test(policy, random_is_uniform_among_workers, .init = workers_only, .fini = directory_free_all)
{
    uint32_t seen[NODES];
    picks_count(POLICY_RANDOM, seen);
    expect_uniform(seen, 0, NODES - 1);
}

static void expect_dispatchers_get_two_thirds(void (*count)(enum policy, uint32_t[static NODES]), enum policy policy)
{
    uint32_t seen[NODES];
    count(policy, seen);
    double dispatchers = (seen[0] + seen[1]) / 2.0;
    double workers = ((double)PICKS - (double)seen[0] - (double)seen[1]) / (NODES - 2);
    cr_expect(dispatchers / workers > 0.62 && dispatchers / workers < 0.72, "%s: %g", policy_rows[policy].name,
              dispatchers / workers);
}

Test(policy, dispatchers_get_less_without_looking_at_load, .init = two_dispatchers, .fini = directory_free_all)
{
    expect_dispatchers_get_two_thirds(picks_count, POLICY_RANDOM);
    expect_dispatchers_get_two_thirds(picks_count, POLICY_ROUND_ROBIN);
}

Test(policy, round_robin_gives_each_worker_its_turn, .init = workers_only, .fini = directory_free_all)
{
    expect_turns(picks_count);
}

Test(policy, two_choices_prefers_the_less_loaded_and_counts_its_own_picks, .init = workers_only, .fini = directory_free_all)
{
    uint32_t seen[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        struct node_report report = {.load_index = i == 0 ? 100 : 0, .load_per_job = 0.01f};
        node_values_apply(&values[i], &report);
    }
    picks_count(POLICY_TWO_CHOICES, seen);
    /* Node 0 starts 10,000 picks behind; the others share evenly until they have caught up with it. */
    cr_expect_eq(seen[0], 0);
    for (uint32_t i = 1; i < NODES; i++)
        cr_expect(seen[i] > PICKS / (NODES - 1) * 0.98 && seen[i] < PICKS / (NODES - 1) * 1.02, "%u: %u", i, seen[i]);
}

static void batch_pick(enum policy policy, const uint64_t service_ids[], int results[], uint32_t count)
{
    struct pick_item items[PICK_BATCH_MAX];
    for (uint32_t i = 0; i < count; i++)
        items[i].service_id = service_ids[i];
    policy_pick_batch(policy, &state, snapshot, values, items, count);
    for (uint32_t i = 0; i < count; i++)
        results[i] = items[i].result;
}

static void batches_count(enum policy policy, uint32_t seen[static NODES])
{
    enum { BATCH = 60 };
    uint64_t service_ids[BATCH];
    int results[BATCH];
    for (int i = 0; i < BATCH; i++)
        service_ids[i] = SERVICE;
    memset(seen, 0, sizeof(*seen) * NODES);
    for (int i = 0; i < PICKS / BATCH; i++) {
        batch_pick(policy, service_ids, results, BATCH);
        for (int k = 0; k < BATCH; k++) {
            cr_assert(results[k] >= 0 && results[k] < NODES, "%s: %d", policy_rows[policy].name, results[k]);
            seen[results[k]]++;
        }
    }
}

Test(policy_batch, of_nothing_does_nothing, .init = workers_only, .fini = directory_free_all)
{
    policy_pick_batch(POLICY_TWO_CHOICES, &state, snapshot, values, NULL, 0);
}

Test(policy_batch, tells_apart_services_without_nodes_wherever_they_stand, .init = workers_only, .fini = directory_free_all)
{
    uint64_t service_ids[] = {SERVICE + 1, SERVICE, SERVICE + 2, SERVICE + 2, SERVICE, SERVICE, SERVICE + 1};
    int results[7];
    for (enum policy policy = 0; policy < POLICIES; policy++) {
        batch_pick(policy, service_ids, results, 7);
        for (int i = 0; i < 7; i++) {
            if (service_ids[i] == SERVICE)
                cr_expect(results[i] >= 0 && results[i] < NODES, "%d", results[i]);
            else
                cr_expect_eq(results[i], service_ids[i] == SERVICE + 1 ? USHER_ENONODE : USHER_ENOSERVICE);
        }
    }
}

Test(policy_batch, never_hands_out_a_drained_node, .init = workers_only, .fini = directory_free_all)
{
    expect_no_drained_node(batches_count);
}

Test(policy_batch, hands_out_an_expired_node_only_when_nothing_else_is_left, .init = workers_only, .fini = directory_free_all)
{
    uint32_t seen[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_LAST);
    batches_count(POLICY_TWO_CHOICES, seen);
    atomic_store(&values[7].flags, 0);
    batches_count(POLICY_TWO_CHOICES, seen);
    cr_expect_eq(seen[7], PICKS);
}

Test(policy_batch, counts_each_pick_once, .init = two_dispatchers, .fini = directory_free_all)
{
    uint32_t seen[NODES];
    for (enum policy policy = 0; policy < POLICIES; policy++) {
        for (uint32_t i = 0; i < NODES; i++)
            atomic_store(&values[i].picks, 0);
        batches_count(policy, seen);
        for (uint32_t i = 0; i < NODES; i++)
            cr_expect_eq(atomic_load(&values[i].picks), seen[i], "%s", policy_rows[policy].name);
    }
}

Test(policy_batch, of_one_node_gives_that_one, .init = workers_only, .fini = directory_free_all)
{
    struct snapshot_offer offer = {.service_id = SERVICE, .slot = 6};
    uint32_t seen[NODES];
    snapshot_free(snapshot);
    cr_assert_eq(snapshot_new(NODES, &offer, 1, &snapshot), 0);
    for (enum policy policy = 0; policy < POLICIES; policy++) {
        batches_count(policy, seen);
        cr_expect_eq(seen[6], PICKS, "%s", policy_rows[policy].name);
    }
}

Test(policy_batch, random_is_uniform_among_the_fresh, .init = workers_only, .fini = directory_free_all)
{
    uint32_t seen[NODES];
    atomic_store(&values[0].flags, NODE_VALUE_DRAIN);
    atomic_store(&values[NODES - 1].flags, NODE_VALUE_LAST);
    batches_count(POLICY_RANDOM, seen);
    expect_uniform(seen, 1, NODES - 2);
}

Test(policy_batch, below_average_is_uniform_among_the_marked, .init = workers_only, .fini = directory_free_all)
{
    expect_uniform_among_the_marked(batches_count);
}

Test(policy_batch, two_choices_draws_each_pair_as_often, .init = workers_only, .fini = directory_free_all)
{
    /* Without load the first of the pair is taken, and with a load of its own rank the lower: 9, 8 … 0 of the 45 pairs. */
    uint32_t seen[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        struct node_report report = {.load_index = (float)i};
        node_values_apply(&values[i], &report);
    }
    batches_count(POLICY_TWO_CHOICES, seen);
    for (uint32_t i = 0; i < NODES; i++) {
        double expected = PICKS * (NODES - 1.0 - i) / 45;
        cr_expect(seen[i] > expected * 0.95 - 1 && seen[i] < expected * 1.05 + 1, "%u: %u", i, seen[i]);
    }
}

Test(policy_batch, round_robin_gives_each_worker_its_turn, .init = workers_only, .fini = directory_free_all)
{
    expect_turns(batches_count);
}

Test(policy_batch, dispatchers_get_less_without_looking_at_load, .init = two_dispatchers, .fini = directory_free_all)
{
    expect_dispatchers_get_two_thirds(batches_count, POLICY_RANDOM);
    expect_dispatchers_get_two_thirds(batches_count, POLICY_ROUND_ROBIN);
}

Test(snapshot, refuses_offers_of_slots_that_are_not_there)
{
    struct snapshot_offer offer = {.service_id = 1, .slot = 1};
    struct snapshot *built;
    cr_expect_eq(snapshot_new(1, &offer, 1, &built), -EINVAL);
}

Test(snapshot, of_nothing_knows_no_service)
{
    struct snapshot *built;
    cr_assert_eq(snapshot_new(0, NULL, 0, &built), 0);
    cr_expect_null(snapshot_service_find(built, SERVICE));
    snapshot_free(built);
}

Test(snapshot, finds_each_of_many_services)
{
    enum { MANY = 5000 };
    static struct snapshot_offer offers[MANY];
    struct snapshot *built;
    for (uint32_t i = 0; i < MANY; i++)
        offers[i] = (struct snapshot_offer){.service_id = UINT64_C(0x9e3779b97f4a7c15) * (MANY - i), .slot = 0};
    cr_assert_eq(snapshot_new(1, offers, MANY, &built), 0);
    for (uint32_t i = 1; i <= MANY; i++) {
        const struct snapshot_service *service = snapshot_service_find(built, UINT64_C(0x9e3779b97f4a7c15) * i);
        cr_assert_not_null(service);
        cr_assert_eq(service->member_count, 1);
    }
    snapshot_free(built);
}
