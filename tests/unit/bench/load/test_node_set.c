#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "bench/load/node_set.h"

static struct node_set set;

static void teardown(void)
{
    node_set_done(&set);
}

TestSuite(node_set, .fini = teardown);

static struct address address_of(const char *text)
{
    struct address address;
    cr_assert_eq(address_parse(text, &address), 0);
    return address;
}

static uint32_t added(const char *text)
{
    struct address address = address_of(text);
    uint32_t index = UINT32_MAX;
    cr_assert_eq(node_set_add(&set, &address, &index), 0);
    return index;
}

static const uint8_t ipv4[] = {4, 0, 0x1d, 0x4c, 192, 0, 2, 10}, ipv4_last[] = {4, 4, 0x1d, 0x4c, 192, 0, 2, 10};
static const uint8_t ipv6[] = {6, 1, 0x1d, 0x4c, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};

Test(node_set, empty_one_has_nobody)
{
    cr_assert_lt(node_set_find(&set, ipv4), 0);
}

Test(node_set, another_port_or_address_is_another_node)
{
    (void)added("192.0.2.10:7501");
    (void)added("192.0.2.11:7500");
    (void)added("[2001:db8::8]:7500");
    cr_assert_lt(node_set_find(&set, ipv4), 0);
    cr_assert_lt(node_set_find(&set, ipv6), 0);
}

Test(node_set, closed_one_takes_no_other)
{
    uint32_t index;
    struct address other = address_of("192.0.2.11:7500"), same = address_of("192.0.2.10:7500");
    (void)added("192.0.2.10:7500");
    set.closed = true;
    cr_assert_eq(node_set_add(&set, &other, &index), -ENOENT);
    cr_assert_eq(node_set_add(&set, &same, &index), 0);
}

Test(node_set, nodes_are_found_whatever_their_state)
{
    cr_assert_eq(added("192.0.2.10:7500"), 0);
    cr_assert_eq(added("[2001:db8::7]:7500"), 1);
    cr_assert_eq(node_set_find(&set, ipv4), 0);
    cr_assert_eq(node_set_find(&set, ipv4_last), 0);
    cr_assert_eq(node_set_find(&set, ipv6), 1);
}

Test(node_set, node_that_is_there_keeps_its_index)
{
    cr_assert_eq(added("192.0.2.10:7500"), 0);
    cr_assert_eq(added("192.0.2.10:7501"), 1);
    cr_assert_eq(added("192.0.2.10:7500"), 0);
    cr_assert_eq(set.count, 2);
}

Test(node_set, growing_loses_nobody)
{
    char text[32];
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "10.1.%u.%u:7500", i >> 8, i & 255);
        cr_assert_eq(added(text), i);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "10.1.%u.%u:7500", i >> 8, i & 255);
        cr_assert_eq(added(text), i);
    }
}
