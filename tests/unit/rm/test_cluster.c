#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/rm/fixture.h"

static struct fixture *fixture;

static void setup(void)
{
    fixture = fixture_new(false);
}

static void teardown(void)
{
    fixture_free(fixture);
}

TestSuite(cluster, .init = setup, .fini = teardown);

static struct wire_register registration_of(uint32_t number, const char *service)
{
    struct wire_register registration = {
        .node = fixture_address(number),
        .kind = WIRE_NODE_WORKER,
        .service_count = 1,
        .trailer = {.boot_id = number + 1, .sequence = ++fixture->sequence},
    };
    registration.services[0].length = (uint8_t)strlen(service);
    strncpy(registration.services[0].text, service, SERVICE_NAME_BYTES_MAX);
    return registration;
}

Test(cluster, replayed_heartbeat_is_refused)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_REPLAYED);
}

Test(cluster, late_heartbeat_of_a_replaced_boot_is_refused)
{
    uint32_t slot;
    fixture_beat(fixture, 1, 1);
    struct wire_heartbeat successor = fixture_heartbeat(fixture, 1, 1);
    successor.trailer = (struct wire_trailer){.boot_id = 99, .sequence = 1};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &successor, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(fixture->events[CLUSTER_NODE_REBOOTED], 1);
    struct wire_heartbeat late = fixture_heartbeat(fixture, 1, 5);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &late, &slot), CLUSTER_OLDER_BOOT);
    cr_assert_eq(fixture->cluster->nodes[slot].boot.boot_id, 99);
}

Test(cluster, replaced_boot_returns_when_its_successor_is_gone)
{
    uint32_t slot;
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    struct wire_heartbeat successor = fixture_heartbeat(fixture, 1, 1);
    successor.trailer = (struct wire_trailer){.boot_id = 99, .sequence = 1};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &successor, &slot), CLUSTER_ACCEPTED);
    fixture_pass(fixture, FIXTURE_VALID_NS + NS_PER_S);
    fixture_beat(fixture, 1, 1);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
}

Test(cluster, colliding_name_is_refused_and_told_once)
{
    uint32_t slot;
    struct wire_register registration = registration_of(1, "echo");
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    /* No second name with the same FNV-1a-64 is known: the table is made to believe in one. */
    fixture->cluster->services.item[0].name[0] = 'x';
    registration = registration_of(2, "echo");
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_COLLISION);
    registration.trailer.sequence = ++fixture->sequence;
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_COLLISION);
    cr_assert_eq(fixture->events[CLUSTER_NAME_COLLISION], 1);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 2, 1);
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_COLLISION);
    cr_assert_eq(fixture_state(fixture, 2), NODE_REGISTERED);
}

Test(cluster, admin_word_for_an_unknown_node_is_refused)
{
    struct address address = fixture_address(5);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), -ENOENT);
}

static bool adopt(uint32_t slot, const struct wire_admin *word)
{
    return cluster_admin_adopt(fixture->cluster, fixture->now, slot, word, CLUSTER_ADMIN_TOLD, NULL);
}

Test(cluster, older_admin_word_is_not_adopted)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct address address = fixture_address(1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "disk"), 0);
    struct wire_admin older = {.version_ms = fixture->now.wall_ms - 1, .writer_rm_id = 99};
    cr_assert_not(adopt(slot, &older));
    cr_assert(node_is_drained(&fixture->cluster->nodes[slot]));
    cr_assert_str_eq(fixture->cluster->nodes[slot].reason, "disk");
}

Test(cluster, admin_word_that_could_not_be_followed_on_is_not_adopted)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct wire_admin ahead = {.version_ms = UINT64_MAX, .flags = WIRE_ADMIN_DRAIN};
    cr_assert_not(adopt(slot, &ahead));
}

/* Anybody may send this: were it adopted, what an operator says next would be refused by whoever reads it from Redis. */
Test(cluster, heartbeat_from_a_time_that_is_none_does_not_spoil_an_operators_next_word)
{
    uint32_t slot;
    struct address address = fixture_address(1);
    static const uint64_t versions_ms[] = {(UINT64_C(1) << 53) - 1, (UINT64_C(1) << 53) - 2, UINT64_C(1) << 52, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(versions_ms); i++) {
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
        heartbeat.admin = (struct wire_admin){.version_ms = versions_ms[i], .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN};
        cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
        cr_assert_not(node_is_drained(&fixture->cluster->nodes[slot]));
    }
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    cr_assert_eq(fixture->cluster->nodes[slot].admin.version_ms, fixture->now.wall_ms);
}

/* The furthest that is adopted, from either source, at the moment it is: the word that follows is one that a restarted rm takes. */
Test(cluster, word_that_follows_on_the_furthest_one_is_plausible_a_moment_later)
{
    static const enum cluster_admin_source sources[] = {CLUSTER_ADMIN_TOLD, CLUSTER_ADMIN_STORED};
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        struct wire_admin word = {.version_ms = fixture->now.wall_ms, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN};
        for (uint64_t step = UINT64_C(1) << 52; step > 0; step /= 2) {
            word.version_ms += step;
            if (!cluster_admin_is_plausible(&word, fixture->now, sources[i]))
                word.version_ms -= step;
        }
        cr_assert(cluster_admin_adopt(fixture->cluster, fixture->now, slot, &word, sources[i], NULL));
        cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
        struct cluster_time later = {.wall_ms = fixture->now.wall_ms + 1};
        cr_assert(cluster_admin_is_plausible(&fixture->cluster->nodes[slot].admin, later, CLUSTER_ADMIN_STORED));
        cr_assert_lt(fixture->cluster->nodes[slot].admin.version_ms, UINT64_C(1) << 53);
    }
}

Test(cluster, rm_that_has_lost_its_time_leaves_room_for_an_operators_next_word)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    fixture->now.wall_ms = 1000;
    struct wire_admin word = {.version_ms = (UINT64_C(1) << 53) - 1, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN};
    cr_assert_not(adopt(slot, &word));
    word.version_ms = (UINT64_C(1) << 52) - 1;
    cr_assert(adopt(slot, &word));
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert(cluster_admin_is_plausible(&fixture->cluster->nodes[slot].admin, fixture->now, CLUSTER_ADMIN_STORED));
}

Test(cluster, first_heartbeat_lists_the_node)
{
    fixture_beat(fixture, 1, 0.5f);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 1);
    cr_assert_eq(fixture->events[CLUSTER_NODE_JOINED], 1);
}

Test(cluster, skewed_clock_of_a_node_does_not_matter)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.timestamp_ms -= 3600 * MS_PER_S;
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    fixture_pass(fixture, NS_PER_S);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_eq(fixture->cluster->nodes[slot].clock_offset_ms, -3600000);
}

Test(cluster, register_is_wanted_until_the_boot_has_registered)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    cr_assert(cluster_wants_register(fixture->cluster, slot));
    struct wire_register registration = registration_of(1, "echo");
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    cr_assert_not(cluster_wants_register(fixture->cluster, slot));
}

Test(cluster, register_alone_does_not_list_a_node)
{
    uint32_t slot;
    struct wire_register registration = registration_of(1, "echo");
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(fixture_state(fixture, 1), NODE_REGISTERED);
}

Test(cluster, register_keeps_a_node_alive_that_hears_no_answers)
{
    uint32_t slot;
    fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    fixture_pass(fixture, 2 * NS_PER_S);
    struct wire_register registration = registration_of(1, "echo");
    cr_assert_eq(cluster_register(fixture->cluster, fixture->now, &registration, &slot), CLUSTER_ACCEPTED);
    fixture_pass(fixture, 2 * NS_PER_S);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_eq(fixture_state(fixture, 2), NODE_FAULTY);
}

Test(cluster, service_named_twice_in_a_heartbeat_counts_once)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.services[1] = heartbeat.services[0];
    heartbeat.service_count = 2;
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(fixture->cluster->nodes[slot].service_count, 1);
    cr_assert_eq(fixture->cluster->services.item[0].member_count, 1);
}

Test(cluster, services_of_a_node_may_change)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 2);
    heartbeat.services[0].service_id = fixture_service("sleep");
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert_eq(fixture->cluster->services.item[0].member_count, 0);
    cr_assert_eq(fixture->cluster->services.item[1].member_count, 1);
}

Test(cluster, node_is_told_in_the_words_of_dispatchers)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    fixture_beat(fixture, 2, 1);
    cr_expect_str_eq(node_word(&fixture->cluster->nodes[slot]), "ready");
    fixture_pass(fixture, 60 * NS_PER_S);
    cr_expect_str_eq(node_word(&fixture->cluster->nodes[slot]), "last");
    for (uint32_t i = 0; i < 60 && fixture->cluster->nodes[slot].state == NODE_LAST; i++) {
        fixture_beat(fixture, 2, 1);
        fixture_pass(fixture, NS_PER_S);
    }
    cr_expect_str_eq(node_word(&fixture->cluster->nodes[slot]), "faulty");
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    cr_expect_str_eq(node_word(&fixture->cluster->nodes[slot]), "drained");
}

Test(cluster, drained_node_is_listed_but_not_examined)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct address address = fixture_address(1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "disk"), 0);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    cr_assert_not(fixture->cluster->nodes[slot].examined);
    cr_assert_eq(fixture->events[CLUSTER_NODE_DRAINED], 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert(fixture->cluster->nodes[slot].examined);
    cr_assert_null(fixture->cluster->nodes[slot].reason);
}

Test(cluster, long_reason_is_cut_between_characters)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct address address = fixture_address(1);
    char reason[2 * NODE_REASON_BYTES_MAX + 2] = "x";
    for (size_t i = 0; i < NODE_REASON_BYTES_MAX; i++)
        memcpy(reason + 1 + 2 * i, "é", 3);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, reason), 0);
    cr_assert_eq(strlen(fixture->cluster->nodes[slot].reason), NODE_REASON_BYTES_MAX - 1);
}

Test(cluster, admin_word_echoed_by_a_node_is_adopted)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.admin = (struct wire_admin){.version_ms = fixture->now.wall_ms, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN};
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    cr_assert(node_is_drained(&fixture->cluster->nodes[slot]));
}

Test(cluster, admin_words_of_the_same_moment_go_by_the_greater_writer)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct wire_admin first = {.version_ms = fixture->now.wall_ms, .writer_rm_id = 5, .flags = WIRE_ADMIN_DRAIN};
    struct wire_admin second = {.version_ms = fixture->now.wall_ms, .writer_rm_id = 6};
    cr_assert(adopt(slot, &second));
    cr_assert_not(adopt(slot, &first));
    cr_assert_not(node_is_drained(&fixture->cluster->nodes[slot]));
}

Test(cluster, word_that_undoes_drain_and_weight_told_here_is_an_event_of_its_own)
{
    struct address address = fixture_address(1);
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct wire_admin told = {.writer_rm_id = 5, .flags = WIRE_ADMIN_WEIGHT, .weight = 7};
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    told.version_ms = fixture->cluster->nodes[slot].admin.version_ms + 1;
    cr_assert(adopt(slot, &told));
    cr_expect_eq(fixture->events[CLUSTER_NODE_OVERRULED], 1);
    cr_expect_eq(fixture->events[CLUSTER_NODE_READY], 0);
    told.flags |= WIRE_ADMIN_DRAIN;
    told.version_ms++;
    cr_assert(adopt(slot, &told));
    cr_expect_eq(fixture->events[CLUSTER_NODE_OVERRULED], 1, "what it follows on was told there too");
    cr_expect_eq(fixture->events[CLUSTER_NODE_DRAINED], 2);
    cr_assert_eq(cluster_admin_weight(fixture->cluster, fixture->now, &address, &(float){3}), 0);
    told.flags = WIRE_ADMIN_WEIGHT;
    told.weight = 3;
    told.version_ms = fixture->cluster->nodes[slot].admin.version_ms + 1;
    cr_assert(adopt(slot, &told));
    cr_expect_eq(fixture->events[CLUSTER_NODE_OVERRULED], 1, "a release leaves the weight as it is");
    cr_expect_eq(fixture->events[CLUSTER_NODE_READY], 1);
}

Test(cluster, operator_overrules_a_word_from_ahead)
{
    uint32_t slot = fixture_beat(fixture, 1, 1);
    struct address address = fixture_address(1);
    struct wire_admin ahead = {
        .version_ms = fixture->now.wall_ms + 3600 * MS_PER_S, .writer_rm_id = 99, .flags = WIRE_ADMIN_DRAIN};
    cr_assert(adopt(slot, &ahead));
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert_gt(fixture->cluster->nodes[slot].admin.version_ms, ahead.version_ms);
}

/* What one rm says reaches the other through the node's echo, and the other way round. */
static void echo(struct fixture *to, const struct fixture *from, uint32_t number)
{
    struct address address = fixture_address(number);
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(to, number, 1);
    heartbeat.admin = from->cluster->nodes[cluster_find(from->cluster, &address)].admin;
    cr_assert_eq(cluster_heartbeat(to->cluster, to->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
}

Test(cluster, two_rm_agree_though_the_clock_of_one_is_from_before_the_flood)
{
    struct fixture *other = fixture_new(false);
    struct address address = fixture_address(1);
    other->cluster->config.rm_id = 78;
    other->now.wall_ms = 1000; /* a machine without a clock of its own, in 1970 */
    uint32_t slot = fixture_beat(fixture, 1, 1);
    uint32_t other_slot = fixture_beat(other, 1, 1);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    echo(other, fixture, 1);
    cr_assert(node_is_drained(&other->cluster->nodes[other_slot]));
    cr_assert_eq(cluster_admin_set(other->cluster, other->now, &address, 0, WIRE_ADMIN_DRAIN, NULL), 0);
    cr_assert_eq(cluster_admin_weight(other->cluster, other->now, &address, &(float){7}), 0);
    echo(fixture, other, 1);
    cr_assert_not(node_is_drained(&fixture->cluster->nodes[slot]));
    cr_assert_eq(fixture->cluster->nodes[slot].admin.weight, 7);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    echo(other, fixture, 1);
    cr_assert(node_is_drained(&other->cluster->nodes[other_slot]));
    cr_assert_eq(other->cluster->nodes[other_slot].admin.weight, 7, "a drain leaves the weight as it is");
    fixture_free(other);
}

Test(cluster, dispatchers_are_those_that_are_fresh)
{
    uint32_t slot;
    struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
    heartbeat.kind = WIRE_NODE_DISPATCHER;
    cr_assert_eq(cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot), CLUSTER_ACCEPTED);
    fixture_beat(fixture, 2, 1);
    cr_assert_eq(fixture->cluster->dispatcher_count, 1);
    cr_assert_eq(fixture->cluster->dispatchers[0], slot);
    fixture_pass(fixture, FIXTURE_VALID_NS + NS_PER_S);
    cr_assert_eq(fixture->cluster->dispatcher_count, 0);
}
