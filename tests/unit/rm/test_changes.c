#include <criterion/criterion.h>

#include "rm/changes.h"
#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(true);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(changes, .init = setup, .fini = teardown);

static struct changes_item next(struct changes_cursor *cursor)
{
    struct changes_item item = changes_peek(cursor);
    changes_next(cursor);
    return item;
}

Test(changes, base_from_the_future_can_not_be_told)
{
    cr_assert_not(changes_reach_back_to(fixture->cluster, 1));
    cr_assert(changes_reach_back_to(fixture->cluster, 0));
}

Test(changes, base_before_a_dropped_removal_can_not_be_told)
{
    fixture_beat(fixture, 0, 1);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 1; i <= CLUSTER_REMOVALS_MAX / 2 + 1; i++)
            fixture_beat(fixture, i, 1);
        for (uint32_t i = 0; i < 5; i++) {
            fixture_pass(fixture, NS_PER_S);
            fixture_beat(fixture, 0, 1);
        }
    }
    cr_assert_eq(fixture->cluster->removal_count, CLUSTER_REMOVALS_MAX + 2);
    cr_assert_not(changes_reach_back_to(fixture->cluster, 0));
    cr_assert(changes_reach_back_to(fixture->cluster, fixture->cluster->removal_floor));
    cr_assert(changes_reach_back_to(fixture->cluster, fixture->cluster->sequence));
}

Test(changes, only_what_changed_since_the_base_is_told)
{
    struct changes_cursor cursor;
    uint32_t first = fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    fixture_pass(fixture, NS_PER_S / 5);
    uint64_t base = fixture->cluster->sequence;
    fixture_beat(fixture, 1, 1);
    changes_begin(fixture->cluster, base, &cursor);
    struct changes_item item = next(&cursor);
    cr_assert_eq(item.kind, CHANGES_NODE);
    cr_assert_eq(item.slot, first);
    cr_assert_eq(next(&cursor).kind, CHANGES_END);
}

Test(changes, removals_and_nodes_come_in_the_order_of_their_sequences)
{
    struct changes_cursor cursor;
    fixture_beat(fixture, 1, 1);
    fixture_pass(fixture, NS_PER_S);
    fixture_beat(fixture, 2, 1);
    uint64_t base = fixture->cluster->sequence;
    fixture_pass(fixture, 2 * NS_PER_S + NS_PER_S / 2);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FAULTY);
    fixture_beat(fixture, 1, 1);
    changes_begin(fixture->cluster, base, &cursor);
    uint64_t last = base;
    uint32_t removals = 0;
    bool back = false;
    for (struct changes_item item = next(&cursor); item.kind != CHANGES_END; item = next(&cursor)) {
        cr_assert_gt(item.sequence, last);
        last = item.sequence;
        removals += item.kind == CHANGES_REMOVAL;
        back = item.kind == CHANGES_NODE && item.sequence == fixture->cluster->sequence;
    }
    cr_assert_eq(removals, 1);
    cr_assert(back);
}
