/* Weights by hand-computed cases (R6), and picks in proportion to them (R7). */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "core/base/random.h"
#include "rm/weights.h"
#include "tests/unit/rm/fixture.h"

#define PICKS 100000u

static struct fixture *fixture;
static struct random_state random_state;

static void setup(void)
{
    fixture = fixture_new(true);
    random_init(&random_state, 5);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(weights, .init = setup, .fini = teardown);

static const float factors[WEIGHT_TERMS] = {0.125f, 0.03125f, 0.001f, 0.0008f};

static void tell(struct wire_heartbeat *heartbeat, enum wire_metadata_key key, float value)
{
    heartbeat->metadata[heartbeat->metadata_count++] = (struct wire_metadata){.key = (uint8_t)key, .value = value};
}

static struct wire_heartbeat empty(uint32_t number)
{
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, number, 1);
    heartbeat.metadata_count = 0;
    return heartbeat;
}

static const struct node *beat(const struct wire_heartbeat *heartbeat)
{
    uint32_t slot;
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, heartbeat, &slot), CLUSTER_ACCEPTED);
    return &fixture->cluster->nodes[slot];
}

static const struct node *beat_cpu(uint32_t number, float cores, float use)
{
    struct wire_heartbeat heartbeat = empty(number);
    tell(&heartbeat, WIRE_METADATA_CPU_CORES, cores);
    tell(&heartbeat, WIRE_METADATA_CPU_USE, use);
    return beat(&heartbeat);
}

static float weight(uint32_t number)
{
    struct address address = fixture_address(number);
    const struct node *node = &fixture->cluster->nodes[cluster_find(fixture->cluster, &address)];
    return weights_of(fixture->cluster, node, 0);
}

static const struct service *service(void)
{
    uint64_t id = fixture_service("echo");
    return &fixture->cluster->services.item[map_get(&fixture->cluster->services.by_id, &id)];
}

Test(weights, terms_without_capacity_or_use_are_not_known)
{
    struct weight_terms terms;
    const struct wire_metadata metadata[] = {
        {WIRE_METADATA_CPU_CORES, 8}, {WIRE_METADATA_MEMORY_USE, 0.5f}, {WIRE_METADATA_DISK_WRITE_CAPACITY, 100}};
    weight_terms_read(metadata, ARRAY_COUNT(metadata), factors, &terms);
    cr_expect_eq(terms.known, 0);
}

Test(weights, terms_are_clamped_at_zero)
{
    struct weight_terms terms;
    const struct wire_metadata metadata[] = {
        {WIRE_METADATA_DISK_WRITE_CAPACITY, 100},
        {WIRE_METADATA_DISK_READ_CAPACITY, 100},
        {WIRE_METADATA_DISK_WRITE, 150},
        {WIRE_METADATA_DISK_READ, 90},
    };
    weight_terms_read(metadata, ARRAY_COUNT(metadata), factors, &terms);
    cr_expect_eq(terms.known, 1u << WEIGHT_DISK);
    cr_expect_eq(terms.value[WEIGHT_DISK], 0);
}

Test(weights, whole_equation_by_hand)
{
    struct weight_terms terms;
    const struct wire_metadata metadata[] = {
        {WIRE_METADATA_CPU_CORES, 16},
        {WIRE_METADATA_CPU_USE, 0.25f},
        {WIRE_METADATA_MEMORY_GB, 64},
        {WIRE_METADATA_MEMORY_USE, 0.5f},
        {WIRE_METADATA_DISK_READ_CAPACITY, 500},
        {WIRE_METADATA_DISK_WRITE_CAPACITY, 300},
        {WIRE_METADATA_DISK_READ, 100},
        {WIRE_METADATA_DISK_WRITE, 50},
        {WIRE_METADATA_NIC_IN_CAPACITY, 1250},
        {WIRE_METADATA_NIC_OUT_CAPACITY, 1250},
        {WIRE_METADATA_NIC_IN, 250},
        {WIRE_METADATA_NIC_OUT, 1000},
    };
    weight_terms_read(metadata, ARRAY_COUNT(metadata), factors, &terms);
    cr_expect_float_eq(terms.value[WEIGHT_CPU], 1.5, 1e-5); /* 16 · 0.75 / 8 */
    cr_expect_float_eq(terms.value[WEIGHT_MEMORY], 1.0, 1e-5); /* 64 · 0.5 / 32 */
    cr_expect_float_eq(terms.value[WEIGHT_DISK], 0.65, 1e-5); /* (250 + 400) / 1000 */
    cr_expect_float_eq(terms.value[WEIGHT_NIC], 1.0, 1e-5); /* (1000 + 250) / 1250 */
}

Test(weights, nothing_told_weighs_all_alike)
{
    struct wire_heartbeat first = empty(1), second = empty(2);
    beat(&first);
    beat(&second);
    cr_expect_eq(weight(1), 1);
    cr_expect_eq(weight(2), 1);
}

Test(weights, term_that_one_node_does_not_tell_is_left_out_for_all)
{
    struct wire_heartbeat rich = empty(1);
    tell(&rich, WIRE_METADATA_CPU_CORES, 8);
    tell(&rich, WIRE_METADATA_CPU_USE, 0);
    tell(&rich, WIRE_METADATA_MEMORY_GB, 32);
    tell(&rich, WIRE_METADATA_MEMORY_USE, 0);
    beat(&rich);
    fixture_pass(fixture, NS_PER_S / 5);
    cr_expect_float_eq(weight(1), 2, 1e-5);
    beat_cpu(2, 8, 0.5f);
    uint64_t sequence = fixture->cluster->sequence;
    fixture_pass(fixture, NS_PER_S / 5);
    cr_expect_float_eq(weight(1), 1, 1e-5);
    cr_expect_float_eq(weight(2), 0.5, 1e-5);
    cr_expect_gt(fixture->cluster->sequence, sequence, "directories are told of the other node's new weight");
    fixture_pass(fixture, FIXTURE_VALID_NS / 2);
    rich.trailer.sequence += 1000;
    beat(&rich);
    fixture_pass(fixture, FIXTURE_VALID_NS / 2 + NS_PER_S);
    cr_expect_float_eq(weight(1), 2, 1e-5, "the other one has expired");
}

Test(weights, dispatchers_weigh_less)
{
    struct wire_heartbeat heartbeat = empty(1);
    heartbeat.kind = WIRE_NODE_DISPATCHER;
    tell(&heartbeat, WIRE_METADATA_CPU_CORES, 12);
    tell(&heartbeat, WIRE_METADATA_CPU_USE, 0);
    beat(&heartbeat);
    cr_expect_float_eq(weight(1), 1, 1e-5);
}

Test(weights, operators_word_stands_until_taken_back)
{
    struct address address = fixture_address(1);
    beat_cpu(1, 8, 0.5f);
    cr_expect_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &(float){7}), 0);
    cr_expect_eq(weight(1), 7);
    beat_cpu(1, 8, 0.25f);
    cr_expect_eq(weight(1), 7);
    cr_expect_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, NULL), 0);
    cr_expect_float_eq(weight(1), 0.75, 1e-5);
    address = fixture_address(99);
    cr_expect_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &(float){7}), -ENOENT);
}

Test(weights, operators_word_leaves_a_drain_and_its_reason_alone)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    const struct node *node = &fixture->cluster->nodes[slot];
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "disk"), 0);
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &(float){7}), 0);
    cr_expect_str_eq(node->reason, "disk");
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, NULL), 0);
    cr_assert_not_null(node->reason);
    cr_expect_str_eq(node->reason, "disk");
    cr_expect_eq(node->admin.flags, WIRE_ADMIN_DRAIN);
}

static void counts_of(uint32_t counts[], uint32_t node_count)
{
    for (uint32_t i = 0; i < node_count; i++)
        counts[i] = 0;
    for (uint32_t i = 0; i < PICKS; i++) {
        uint32_t slot = weights_pick(service(), &random_state);
        cr_assert_lt(slot, node_count);
        counts[slot]++;
    }
}

Test(weights, pick_of_nothing_is_none)
{
    beat_cpu(1, 8, 0);
    fixture_pass(fixture, 2 * FIXTURE_VALID_NS);
    cr_expect_eq(weights_pick(service(), &random_state), NODE_NONE);
}

Test(weights, all_zero_are_picked_alike)
{
    uint32_t counts[4];
    for (uint32_t i = 0; i < 4; i++)
        beat_cpu(i, 8, 1);
    counts_of(counts, 4);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect(counts[i] > PICKS / 4 * 95 / 100 && counts[i] < PICKS / 4 * 105 / 100);
}

/* χ² with 9 degrees of freedom stays below 33.7 in 9,999 of 10,000 runs; the seed is fixed. */
Test(weights, picks_are_in_proportion)
{
    uint32_t counts[10];
    double sum = 0, chi_square = 0;
    for (uint32_t i = 0; i < 10; i++) {
        beat_cpu(i, (float)(1u << i), 0.5f);
        sum += (double)weight(i);
    }
    fixture_pass(fixture, NS_PER_S / 5);
    counts_of(counts, 10);
    for (uint32_t i = 0; i < 10; i++) {
        double wanted = PICKS * (double)weight(i) / sum;
        chi_square += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
    }
    cr_expect_lt(chi_square, 33.7);
}

static void expect_index_is_right(const struct weight_index *index, bool standby)
{
    uint64_t units = 0;
    for (uint32_t class = 0; class < WEIGHT_CLASSES; class ++) {
        uint32_t end = class + 1 < WEIGHT_CLASSES ? index->first[class + 1] : index->count;
        cr_assert_leq(index->first[class], end);
        for (uint32_t i = index->first[class]; i < end; i++) {
            const struct weight_item *item = &index->items[i];
            const struct node *node = &fixture->cluster->nodes[item->slot];
            cr_assert_eq(node->services[item->ordinal].weight_position, i);
            cr_assert(node->standby == standby && node->examined != standby);
            cr_assert(class == 0 ? item->units == 0
                                 : item->units >= UINT64_C(1) << (class - 1) && item->units < UINT64_C(1) << class);
            units += item->units;
        }
    }
    cr_assert_eq(units, index->units);
}

static uint32_t standby_count(void)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < fixture->cluster->slot_count; slot++) {
        const struct node *node = &fixture->cluster->nodes[slot];
        count += node->state == NODE_LAST && !node_is_drained(node) && !(node->flags & WIRE_NODE_DRAINING);
    }
    return count;
}

/* Whatever comes and goes, expires, returns, is drained or reweighed, the indices hold what a look at every node finds. */
Test(weights, indices_survive_any_order_of_changes)
{
    enum { NODES = 60 };
    uint32_t last_max = 0;
    fixture->cluster->config.no_protection = false;
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t number = random_below(&random_state, NODES), what = random_below(&random_state, 32);
        struct address address = fixture_address(number);
        uint32_t slot = cluster_find(fixture->cluster, &address);
        if (what < 4 && slot != NODE_NONE && cluster_listed_count(fixture->cluster) > 1)
            cluster_deregister(fixture->cluster, fixture->now, slot);
        else if (what == 4 && slot != NODE_NONE)
            cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, round & 1, (round & 1) ^ 1, NULL), 0);
        else if (what == 5 && slot != NODE_NONE)
            cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, round & 1 ? &(float){3} : NULL), 0);
        else if (what == 6)
            fixture_pass(fixture, FIXTURE_VALID_NS / 8);
        else
            beat_cpu(number, powf(2, (float)random_below(&random_state, 20)), (float)random_below(&random_state, 3) / 2);
        expect_index_is_right(&service()->weights, false);
        expect_index_is_right(&service()->last, true);
        cr_assert_eq(service()->weights.count, service()->member_count);
        cr_assert_eq(service()->last.count, standby_count());
        last_max = service()->last.count > last_max ? service()->last.count : last_max;
    }
    cr_assert_gt(last_max, 3, "many were silent together at times");
}

/* All that have beaten so far expire. */
static void fall_silent(void)
{
    fixture_pass(fixture, FIXTURE_VALID_NS + NS_PER_S / 2);
}

Test(weights, pick_last_finds_nobody_where_nobody_has_expired)
{
    (void)beat_cpu(1, 8, 0.5f);
    cr_assert_eq(weights_pick_last(service(), &random_state), NODE_NONE);
}

Test(weights, pick_last_takes_each_expired_node_as_likely_as_its_weight)
{
    uint32_t counts[5] = {0};
    const float given[5] = {0, 1, 2, 0, 5};
    for (uint32_t i = 0; i < 5; i++) {
        struct address address = fixture_address(i);
        (void)beat_cpu(i, 8, 0.5f);
        cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &given[i]), 0);
    }
    fall_silent();
    cr_assert_eq(weights_pick(service(), &random_state), NODE_NONE);
    for (uint32_t i = 0; i < PICKS; i++)
        counts[weights_pick_last(service(), &random_state)]++;
    for (uint32_t i = 0; i < 5; i++)
        cr_expect_float_eq((float)counts[i] / PICKS, given[i] / 8, 0.01f, "node %u: %u picks", i, counts[i]);
}

Test(weights, pick_last_takes_all_alike_when_they_weigh_nothing)
{
    uint32_t counts[4] = {0};
    const float nothing = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct address address = fixture_address(i);
        (void)beat_cpu(i, 8, 0.5f);
        cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &nothing), 0);
    }
    fall_silent();
    for (uint32_t i = 0; i < PICKS; i++)
        counts[weights_pick_last(service(), &random_state)]++;
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_float_eq((float)counts[i] / PICKS, 0.25f, 0.01f, "node %u: %u picks", i, counts[i]);
}

/* The one that weighs something would be missed by a look at some of them. */
Test(weights, pick_last_is_exact_however_many_have_expired)
{
    enum { NODES = 20000, HEAVY = 12345 };
    const float nothing = 0, heavy = 9;
    for (uint32_t i = 0; i < NODES; i++) {
        struct address address = fixture_address(i);
        (void)fixture_beat(fixture, i, 1);
        cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, i == HEAVY ? &heavy : &nothing), 0);
    }
    fixture->cluster->config.no_protection = false;
    fall_silent();
    cr_assert_eq(service()->last.count, NODES);
    for (uint32_t i = 0; i < PICKS; i++)
        cr_assert_eq(weights_pick_last(service(), &random_state), HEAVY);
}

Test(weights, pick_last_leaves_out_who_is_drained_or_was_moved_on)
{
    struct address address = fixture_address(1);
    fixture->cluster->config.no_protection = false;
    for (uint32_t i = 0; i < 4; i++)
        (void)beat_cpu(i, 8, 0.5f);
    fall_silent();
    cr_assert_eq(service()->last.count, 4);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_neq(weights_pick_last(service(), &random_state), 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert_eq(service()->last.count, 4);
    (void)beat_cpu(2, 8, 0.5f);
    cr_assert_eq(service()->last.count, 3);
    cr_assert_eq(weights_pick(service(), &random_state), 2);
}

Test(weights, weight_below_the_least_counts_as_nothing_everywhere)
{
    struct address address = fixture_address(1);
    const float least = WEIGHT_MIN, less = WEIGHT_MIN / 2;
    (void)beat_cpu(1, 8, 0.5f);
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &less), 0);
    cr_expect_eq(weight(1), 0);
    cr_expect_eq(service()->weights.units, 0);
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &least), 0);
    cr_expect_gt(weight(1), 0);
    cr_expect_eq(service()->weights.units, 1);
}
