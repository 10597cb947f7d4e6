/* What a node tells by name, how fast it changes, and how often it may speak. */
#include <criterion/criterion.h>
#include <errno.h>
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

Test(node_metrics, rate_is_the_change_by_the_second)
{
    struct node node = {.boot = {.boot_id = 1}};
    cr_assert_eq(node_metrics_set(&node, "sessions", 10, NS_PER_S), 0);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    cr_assert_eq(node_metrics_set(&node, "sessions", 4, NS_PER_S * 3 / 2), 0);
    cr_assert_float_eq(node.metrics->item[0].rate, 12, 1e-9);
    cr_assert_eq(node_metrics_set(&node, "sessions", 4, NS_PER_S * 2), 0);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    node_metrics_clear(&node);
}

Test(node_metrics, rate_is_never_infinite)
{
    struct node node = {.boot = {.boot_id = 1}};
    cr_assert_eq(node_metrics_set(&node, "far", -1e300, 1), 0);
    cr_assert_eq(node_metrics_set(&node, "far", 1e300, 2), 0);
    cr_assert_float_eq(node.metrics->item[0].rate, 1e300, 1e285);
    node_metrics_clear(&node);
}

Test(node_metrics, another_boot_begins_anew)
{
    struct node node = {.boot = {.boot_id = 1}};
    cr_assert_eq(node_metrics_set(&node, "a", 1, 1), 0);
    cr_assert_eq(node_metrics_set(&node, "b", 1, 1), 0);
    node.boot.boot_id = 2;
    cr_assert_eq(node_metrics_set(&node, "b", 9, 2), 0);
    cr_assert_eq(node.metrics->count, 1);
    cr_assert_eq(node.metrics->item[0].rate, 0);
    node_metrics_clear(&node);
}

Test(node_metrics, there_is_an_end_to_them)
{
    struct node node = {.boot = {.boot_id = 1}};
    char name[16];
    for (uint32_t i = 0; i < NODE_METRICS_OWN_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        cr_assert_eq(node_metrics_set(&node, name, 1, 1), 0);
    }
    cr_assert_eq(node_metrics_set(&node, "more", 1, 1), -ENOSPC);
    cr_assert_eq(node_metrics_set(&node, "m0", 1, 1), 0);
    for (uint32_t key = 1; key <= METADATA_MAX; key++)
        cr_assert_eq(node_metrics_set(&node, wire_metadata_name((uint8_t)key), 1, 1), 0, "what is not its own finds room");
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
