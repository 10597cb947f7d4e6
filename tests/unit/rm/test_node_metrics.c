/* What a node tells by name, how fast it changes, and how often it may speak. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/rm/fixture.h"

Test(node_metrics, names_are_such_that_prometheus_takes_them)
{
    char name[NODE_METRIC_NAME_BYTES_MAX + 2];
    cr_assert_not(node_metric_name_valid(""));
    cr_assert_not(node_metric_name_valid("9lives"));
    cr_assert_not(node_metric_name_valid("a-b"));
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_not(node_metric_name_valid(name));
    name[NODE_METRIC_NAME_BYTES_MAX] = '\0';
    cr_assert(node_metric_name_valid(name));
    cr_assert(node_metric_name_valid("_sessions_9"));
}

static void tell(struct node *node, const char *name, double value, uint64_t now_ns)
{
    node_metrics_tell(node, &(struct node_metric_told){.name = name, .value = value}, 1, now_ns);
}

static const struct node_metric *find(const struct node *node, const char *name)
{
    for (uint32_t i = 0; i < node->metrics->count; i++)
        if (strcmp(node->metrics->item[i].name, name) == 0)
            return &node->metrics->item[i];
    return NULL;
}

/* As many as there is room for, called `letter` and a number. */
static void tell_many(struct node *node, char letter, uint64_t now_ns)
{
    char names[NODE_METRICS_OWN_MAX][16];
    struct node_metric_told told[NODE_METRICS_OWN_MAX];
    for (uint32_t i = 0; i < NODE_METRICS_OWN_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "%c%u", letter, i);
        told[i] = (struct node_metric_told){.name = names[i], .value = (double)now_ns};
    }
    node_metrics_tell(node, told, NODE_METRICS_OWN_MAX, now_ns);
}

Test(node_metrics, rate_is_the_change_by_the_second)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell(&node, "sessions", 10, NS_PER_S);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    tell(&node, "sessions", 4, NS_PER_S * 3 / 2);
    cr_assert_float_eq(node.metrics->item[0].rate, 12, 1e-9);
    tell(&node, "sessions", 4, NS_PER_S * 2);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    node_metrics_clear(&node);
}

Test(node_metrics, rate_is_never_infinite)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell(&node, "far", -1e300, 1);
    tell(&node, "far", 1e300, 2);
    cr_assert_float_eq(node.metrics->item[0].rate, 1e300, 1e285);
    node_metrics_clear(&node);
}

Test(node_metrics, another_boot_begins_anew)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell_many(&node, 'a', 1);
    node.boot.boot_id = 2;
    tell(&node, "a0", 9, 2);
    cr_assert_eq(node.metrics->count, 1);
    cr_assert_eq(node.metrics->own_count, 1);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    node_metrics_clear(&node);
}

Test(node_metrics, those_not_told_for_longest_give_room)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell_many(&node, 'm', 1);
    tell(&node, "m0", 2, 2);
    tell(&node, "more", 3, 3);
    cr_assert_eq(node.metrics->own_count, NODE_METRICS_OWN_MAX);
    cr_assert_not_null(find(&node, "more"));
    cr_assert_not_null(find(&node, "m0"), "it was told later than m1");
    cr_assert_null(find(&node, "m1"));
    cr_assert_not_null(find(&node, "m2"), "one new name takes the place of one");
    node_metrics_clear(&node);
}

/* Also where the messages come so close together that they carry the same time. */
Test(node_metrics, names_of_a_message_never_take_each_others_place)
{
    struct node node = {.boot = {.boot_id = 1}};
    char name[16];
    for (char letter = 'a'; letter <= 'z'; letter++) {
        tell_many(&node, letter, 1);
        cr_assert_eq(node.metrics->count, NODE_METRICS_OWN_MAX);
        for (uint32_t i = 0; i < NODE_METRICS_OWN_MAX; i++) {
            snprintf(name, sizeof(name), "%c%u", letter, i);
            cr_assert_not_null(find(&node, name), "%s", name);
        }
    }
    node_metrics_clear(&node);
}

Test(node_metrics, one_that_goes_on_keeps_its_rate_beside_a_new_one)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell_many(&node, 'm', NS_PER_S);
    const struct node_metric_told told[] = {{.name = "more", .value = 1}, {.name = "m0", .value = 7e9}};
    node_metrics_tell(&node, told, 2, 2 * NS_PER_S);
    cr_assert_float_eq(find(&node, "m0")->rate, 6e9, 1, "told anew, not forgotten for `more` and begun again");
    node_metrics_clear(&node);
}

Test(node_metrics, what_is_not_its_own_finds_room_and_stays)
{
    struct node node = {.boot = {.boot_id = 1}};
    tell_many(&node, 'a', 1);
    for (uint8_t key = 1; key <= METADATA_MAX; key++)
        node.metadata[node.metadata_count++] = (struct wire_metadata){.key = key, .value = 1};
    node_metrics_take(&node, 1);
    tell_many(&node, 'b', 2);
    cr_assert_eq(node.metrics->count, NODE_METRICS_OWN_MAX + METADATA_MAX);
    for (uint8_t key = 1; key <= METADATA_MAX; key++)
        cr_assert_not_null(find(&node, wire_metadata_name(key)));
    node_metrics_clear(&node);
}

Test(cluster_flood, more_messages_than_allowed_are_dropped_and_the_node_lives_on)
{
    struct fixture *fixture = fixture_new(false);
    uint32_t slot, taken = 0;
    fixture->cluster->config.messages_per_s = 5;
    for (uint32_t i = 0; i < 1000; i++) {
        struct wire_heartbeat heartbeat = fixture_heartbeat(fixture, 1, 1);
        enum cluster_verdict verdict = cluster_heartbeat(fixture->cluster, fixture->now, &heartbeat, &slot);
        cr_assert(verdict == CLUSTER_ACCEPTED || verdict == CLUSTER_TOO_MANY);
        taken += verdict == CLUSTER_ACCEPTED;
        fixture->now.ns += NS_PER_MS;
    }
    cr_assert(taken >= 9 && taken <= 11, "%u in a second, with one second's worth at once", taken);
    cr_assert_eq(fixture_state(fixture, 1), NODE_FRESH);
    fixture_free(fixture);
}
