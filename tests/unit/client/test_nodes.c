#include <criterion/criterion.h>

#include "client/nodes.h"
#include "core/base/clock.h"

#define FAULT_TIME_NS (5 * NS_PER_S)

static struct nodes nodes;
static const uint64_t start_ns = 100 * NS_PER_S;

static void setup(void)
{
    nodes_init(&nodes, FAULT_TIME_NS);
}

TestSuite(nodes, .init = setup);

static struct address node_of(uint16_t port)
{
    struct address address = {.family = ADDRESS_IPV4, .port = port, .ip = {127, 0, 0, 1}};
    return address;
}

static uint32_t excluded(uint64_t now_ns)
{
    struct address excludes[16];
    return nodes_exclude(&nodes, now_ns, excludes, 0, 16);
}

Test(nodes, single_timeout_does_not_mark)
{
    struct address node = node_of(1);
    nodes_on_timeout(&nodes, &node, start_ns);
    cr_assert_eq(excluded(start_ns), 0);
}

Test(nodes, second_timeout_marks)
{
    struct address node = node_of(1);
    nodes_on_timeout(&nodes, &node, start_ns);
    nodes_on_timeout(&nodes, &node, start_ns + NS_PER_S);
    cr_assert_eq(excluded(start_ns + NS_PER_S), 1);
}

Test(nodes, answer_between_timeouts_clears_them)
{
    struct address node = node_of(1);
    nodes_on_timeout(&nodes, &node, start_ns);
    nodes_on_answer(&nodes, &node);
    nodes_on_timeout(&nodes, &node, start_ns);
    cr_assert_eq(excluded(start_ns), 0);
}

Test(nodes, refusal_marks_for_the_fault_time)
{
    struct address node = node_of(1);
    nodes_on_refusal(&nodes, &node, start_ns);
    cr_assert_eq(excluded(start_ns + FAULT_TIME_NS - 1), 1);
    cr_assert_eq(excluded(start_ns + FAULT_TIME_NS), 0);
}

Test(nodes, node_left_out_already_is_not_added_twice)
{
    struct address excludes[16] = {node_of(1)};
    nodes_on_refusal(&nodes, &excludes[0], start_ns);
    cr_assert_eq(nodes_exclude(&nodes, start_ns, excludes, 1, 16), 1);
}

Test(nodes, no_more_than_there_is_room_for)
{
    struct address excludes[16];
    for (uint16_t port = 1; port <= NODES_MAX; port++) {
        struct address node = node_of(port);
        nodes_on_refusal(&nodes, &node, start_ns);
    }
    cr_assert_eq(nodes_exclude(&nodes, start_ns, excludes, 0, 16), 16);
}

Test(nodes, full_table_gives_up_the_mark_that_ends_first)
{
    for (uint16_t port = 1; port <= NODES_MAX + 1; port++) {
        struct address node = node_of(port);
        nodes_on_refusal(&nodes, &node, start_ns + port);
    }
    struct address excludes[NODES_MAX], first = node_of(1);
    uint32_t count = nodes_exclude(&nodes, start_ns + 100, excludes, 0, NODES_MAX);
    cr_assert_eq(count, NODES_MAX);
    for (uint32_t i = 0; i < count; i++)
        cr_assert(!address_equal(&excludes[i], &first));
}
