/* The subscription gets the directory from whichever rm answers, and keeps it whatever the rms do. */
#include "core/base/clock.h"
#include "tests/unit/dispatcher/fake_rm.h"

static void follow(void)
{
    scene_start();
    scene_run_until(scene.subscription.following);
}

/* ---- rms that are of no use ---- */

SCENE_TEST(a_silent_rm_is_left_for_the_next_one, 2)
{
    scene.rms[0].mode = scene.rms[1].mode = FAKE_SILENT;
    scene_start();
    struct fake_rm *first = scene_followed();
    struct fake_rm *second = scene_other();
    second->mode = FAKE_ANSWERS;
    scene_run_until(first->asked == 1);
    scene_advance(NS_PER_S - 300 * NS_PER_MS);
    scene_settle();
    cr_expect_eq(second->accepted, 0, "an answer may take a second");
    scene_hasten_until(scene.subscription.following);
    cr_expect_eq(scene_followed(), second);
    cr_expect_eq(first->accepted, 1);
}

SCENE_TEST(an_rm_that_goes_silent_later_is_left_too, 2)
{
    follow();
    struct fake_rm *first = scene_followed();
    first->mode = FAKE_SILENT;
    scene_hasten_until(scene_other() == first && scene.subscription.following);
    cr_expect_eq(scene_offered(), scene_followed()->node_count);
}

SCENE_TEST(an_rm_that_refuses_is_left, 2)
{
    scene.rms[0].mode = scene.rms[1].mode = FAKE_REFUSES;
    scene_start();
    struct fake_rm *first = scene_followed();
    scene_other()->mode = FAKE_ANSWERS;
    scene_hasten_until(scene.subscription.following);
    cr_expect_neq(scene_followed(), first);
    cr_expect_eq(first->asked, 1, "what it refuses once it refuses again");
}

SCENE_TEST(an_rm_that_talks_of_other_things_is_silent, 2)
{
    scene.rms[0].mode = scene.rms[1].mode = FAKE_NONSENSE;
    scene_start();
    struct fake_rm *first = scene_followed();
    scene_other()->mode = FAKE_ANSWERS;
    scene_hasten_until(scene.subscription.following);
    cr_expect_neq(scene_followed(), first);
    cr_expect_gt(scene_counter(COUNTER_MALFORMED_UNKNOWN_TYPE), 0);
}

SCENE_TEST(garbage_ends_the_connection, 2)
{
    scene.rms[0].mode = scene.rms[1].mode = FAKE_GARBAGE;
    scene_start();
    struct fake_rm *first = scene_followed();
    scene_other()->mode = FAKE_ANSWERS;
    scene_hasten_until(scene.subscription.following);
    cr_expect_neq(scene_followed(), first);
    cr_expect_eq(scene_counter(COUNTER_MALFORMED_BAD_MAGIC), 1);
}

SCENE_TEST(the_only_rm_is_tried_again, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    rm->mode = FAKE_CLOSES;
    scene_start();
    scene_hasten_until(rm->accepted >= 3);
    rm->mode = FAKE_ANSWERS;
    scene_hasten_until(scene.subscription.following);
}

SCENE_TEST(attempts_are_a_while_apart, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    rm->mode = FAKE_CLOSES;
    scene_start();
    for (uint32_t i = 1; i <= 8; i++)
        scene_hasten_until(rm->accepted >= i);
    uint32_t accepted = rm->accepted;
    scene_run_until(!scene.subscription.stream);
    scene_advance(300 * NS_PER_MS);
    scene_settle();
    cr_expect_eq(rm->accepted, accepted, "half a second at least after so many");
}

SCENE_TEST(an_rm_that_is_down_does_not_hide_the_other, 2)
{
    fake_rm_down(&scene.rms[0]);
    scene_start();
    scene_hasten_until(scene.subscription.following);
    cr_expect_eq(scene_followed(), &scene.rms[1]);
}

SCENE_TEST(an_address_that_cannot_be_connected_to_does_not_hide_the_other, 2)
{
    scene.addresses[0].family = ADDRESS_NONE;
    scene_start();
    scene_hasten_until(scene.subscription.following);
    cr_expect_eq(scene_followed(), &scene.rms[1]);
}

SCENE_TEST(the_last_directory_stays_while_no_rm_is_there, 2)
{
    follow();
    uint32_t offered = scene_offered();
    fake_rm_down(&scene.rms[0]);
    fake_rm_down(&scene.rms[1]);
    for (uint32_t i = 0; i < 20; i++) {
        scene_advance(NS_PER_S);
        scene_settle();
    }
    cr_expect_not(scene.subscription.following);
    cr_expect_eq(scene_offered(), offered);
    fake_rm_up(&scene.rms[0]);
    scene_hasten_until(scene.subscription.following);
    cr_expect_eq(scene_offered(), scene.rms[0].node_count);
}

/* ---- lists ---- */

SCENE_TEST(a_list_of_nobody_is_refused_where_there_are_nodes, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    follow();
    rm->version.epoch++; /* it has started anew */
    rm->mode = FAKE_EMPTY;
    scene_hasten_until(scene_counter(COUNTER_DIRECTORY_STALE) > 0);
    cr_expect_eq(scene_offered(), 2);
    cr_expect(scene.subscription.following);
    rm->mode = FAKE_ANSWERS;
    scene_hasten_until(scene.directory->version.epoch == rm->version.epoch);
}

/* It was given another one's folder, and so that one's ID; or it has started with nothing. */
SCENE_TEST(an_rm_with_an_older_list_is_left_for_the_next_one, 2)
{
    follow();
    struct fake_rm *first = scene_followed();
    struct fake_rm *second = scene_other();
    second->version = first->version;
    second->version.epoch--;
    fake_rm_down(first);
    scene_hasten_until(second->accepted >= 2);
    cr_expect_gt(scene_counter(COUNTER_DIRECTORY_STALE), 0);
    cr_expect_not(scene.subscription.following);
    cr_expect_eq(scene_offered(), first->node_count);
    fake_rm_up(first);
    scene_hasten_until(scene.subscription.following && scene_followed() == first);
    cr_expect_eq(scene_counter(COUNTER_RM_LOST), 1);
}

SCENE_TEST(an_rm_with_an_empty_list_is_left_for_the_next_one, 2)
{
    follow();
    struct fake_rm *first = scene_followed();
    scene_other()->mode = FAKE_EMPTY;
    fake_rm_down(first);
    scene_hasten_until(scene_counter(COUNTER_DIRECTORY_STALE) > 0);
    fake_rm_up(first);
    scene_hasten_until(scene.subscription.following);
    cr_expect_eq(scene_followed(), first);
    cr_expect_eq(scene_offered(), first->node_count);
}

SCENE_TEST(a_list_that_broke_off_is_asked_for_in_full, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    follow();
    rm->mode = FAKE_SILENT;
    rm->version.sequence++;
    fake_rm_send_part(rm, 1, true, true);
    scene_run_until(scene.directory->list_open);
    uint32_t asked_full = rm->asked_full;
    rm->mode = FAKE_ANSWERS;
    stream_abort(rm->stream);
    scene_hasten_until(!scene.directory->list_open && scene.subscription.following);
    cr_expect_eq(rm->asked_full, asked_full + 1);
    cr_expect_eq(scene_offered(), 2);
}

SCENE_TEST(a_region_table_that_makes_no_sense_ends_the_connection, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    uint8_t bytes[256];
    struct wire_region_table table = {.version = 1, .dispatcher_count = 1};
    struct wire_region_dispatcher dispatcher = {.region = 0, .address = fake_node(1).address};
    follow();
    int length = wire_region_table_encode(&table, &dispatcher, NULL, 1, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    fake_rm_send(rm, bytes, (size_t)length);
    scene_run_until(!scene.subscription.following);
    cr_expect_eq(scene_counter(COUNTER_MALFORMED_BAD_VALUE), 1);
    cr_expect_null(scene.directory->table);
}

SCENE_TEST(says_who_asks_and_takes_the_full_list_on_joining, 1)
{
    const struct fake_rm *rm = &scene.rms[0];
    follow();
    cr_expect_eq(rm->asked, 1);
    cr_expect_eq(rm->asked_full, 1);
    cr_expect(rm->subscribe.push);
    cr_expect_eq(rm->subscribe.region, 3);
    cr_expect_eq(rm->subscribe.boot_id, 42);
    cr_expect(address_equal(&rm->subscribe.subscriber, &scene.config.subscriber));
    cr_expect_eq(scene_offered(), 2);
}

SCENE_TEST(asks_once_every_refresh_interval_for_what_has_changed, 1)
{
    const struct fake_rm *rm = &scene.rms[0];
    follow();
    for (uint32_t i = 2; i <= 5; i++) {
        scene_advance(scene.config.refresh_ns);
        scene_run_until(rm->asked == i);
    }
    scene_settle();
    cr_expect_eq(rm->asked, 5);
    cr_expect_eq(rm->asked_full, 1);
    cr_expect_eq(rm->subscribe.have.sequence, rm->version.sequence);
}

SCENE_TEST(asks_for_the_full_list_every_30_s, 1)
{
    const struct fake_rm *rm = &scene.rms[0];
    follow();
    scene_advance(29 * NS_PER_S);
    scene_run_until(rm->asked == 2);
    cr_expect_eq(rm->asked_full, 1);
    scene_advance(NS_PER_S);
    scene_run_until(rm->asked == 3);
    cr_expect_eq(rm->asked_full, 2);
}

SCENE_TEST(without_push_it_says_so, 1)
{
    scene.config.push = false;
    follow();
    cr_expect_not(scene.rms[0].subscribe.push);
}

SCENE_TEST(takes_what_is_pushed_without_asking, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    struct wire_node node = fake_node(7600);
    follow();
    fake_rm_send_delta(rm, 5, 6, &node);
    scene_run_until(scene_offered() == 3);
    cr_expect_eq(rm->asked, 1);
    cr_expect_eq(scene.directory->version.sequence, 6);
}

SCENE_TEST(a_gap_asks_for_the_full_list_at_once_and_once, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    struct wire_node node = fake_node(7600);
    follow();
    rm->mode = FAKE_SILENT;
    fake_rm_send_delta(rm, 6, 7, &node);
    fake_rm_send_delta(rm, 7, 8, &node);
    scene_run_until(rm->asked_full == 2);
    scene_settle();
    cr_expect_eq(rm->asked, 2);
    rm->nodes[rm->node_count++] = node;
    rm->version.sequence = 8;
    fake_rm_send_list(rm);
    scene_run_until(scene_offered() == 3);
    fake_rm_send_delta(rm, 9, 10, &node);
    scene_run_until(rm->asked_full == 3);
    cr_expect_eq(scene_counter(COUNTER_DIRECTORY_GAPS), 3);
}

SCENE_TEST(frames_may_come_in_any_pieces, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    uint8_t bytes[1024];
    struct wire_nodes_builder builder;
    struct wire_delta delta = {.rm_id = rm->version.rm_id, .epoch = 1, .base_sequence = 5, .sequence = 6};
    struct wire_node node = fake_node(7600);
    follow();
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    cr_assert_eq(wire_nodes_add(&builder, &node), 0);
    int length = wire_nodes_finish(&builder, false);
    for (int i = 0; i < length; i++) {
        fake_rm_send(rm, bytes + i, 1);
        scene_batch();
    }
    scene_run_until(scene_offered() == 3);
}

SCENE_TEST(another_rms_list_replaces_the_first_ones, 2)
{
    follow();
    struct fake_rm *first = scene_followed();
    fake_rm_down(first);
    scene_hasten_until(scene_followed() != first && scene.subscription.following);
    cr_expect_eq(scene_offered(), scene_followed()->node_count);
    cr_expect_eq(scene.directory->version.rm_id, scene_followed()->version.rm_id);
}

/* ---- the end ---- */

SCENE_TEST(can_be_stopped_while_it_connects, 1)
{
    scene_start();
}

SCENE_TEST(can_be_stopped_between_two_attempts, 1)
{
    fake_rm_down(&scene.rms[0]);
    scene_start();
    scene_run_until(!scene.subscription.stream);
}

SCENE_TEST(takes_nothing_in_when_it_was_stopped, 1)
{
    struct fake_rm *rm = &scene.rms[0];
    struct wire_node node = fake_node(7600);
    follow();
    fake_rm_send_delta(rm, 5, 6, &node);
    subscription_stop(&scene.subscription);
    scene_settle();
    cr_expect_eq(scene_offered(), 2);
    cr_expect_null(rm->stream, "the connection is closed");
}
