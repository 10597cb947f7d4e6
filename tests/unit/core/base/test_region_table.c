#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/random.h"
#include "core/base/region_table.h"

static struct region_range range_of(const char *text, uint16_t region)
{
    struct region_range range = {.region = region};
    cr_assert_eq(address_range_parse(text, &range.range), 0, "%s", text);
    return range;
}

static uint16_t find(const struct region_table *table, const char *ip)
{
    struct address address;
    cr_assert_eq(address_parse_ip(ip, &address), 0);
    address.port = 4000;
    return region_table_find(table, &address);
}

Test(region_table, range_given_twice_is_refused)
{
    struct region_table *table;
    struct region_range ranges[] = {range_of("10.0.0.0/8", 1), range_of("10.0.0.0/8", 2)};
    cr_assert_eq(region_table_new(1, ranges, 2, NULL, 0, &table), -EEXIST);
}

Test(region_table, region_zero_is_refused)
{
    struct region_table *table;
    struct region_range ranges[] = {range_of("10.0.0.0/8", 0)};
    cr_assert_eq(region_table_new(1, ranges, 1, NULL, 0, &table), -EINVAL);
}

Test(region_table, host_bits_are_refused)
{
    struct region_table *table;
    struct region_range ranges[] = {range_of("10.0.0.0/8", 1)};
    ranges[0].range.base.ip[3] = 1;
    cr_assert_eq(region_table_new(1, ranges, 1, NULL, 0, &table), -EINVAL);
}

Test(region_table, empty_table_finds_none)
{
    struct region_table *table;
    cr_assert_eq(region_table_new(1, NULL, 0, NULL, 0, &table), 0);
    cr_assert_eq(find(table, "127.0.0.1"), REGION_NONE);
    region_table_free(table);
}

Test(region_table, longest_prefix_wins)
{
    struct region_table *table;
    struct region_range ranges[] = {range_of("10.1.2.0/24", 3), range_of("10.0.0.0/8", 1), range_of("10.1.0.0/16", 2),
                                    range_of("10.1.2.255/32", 4)};
    cr_assert_eq(region_table_new(1, ranges, 4, NULL, 0, &table), 0);
    cr_expect_eq(find(table, "9.255.255.255"), REGION_NONE);
    cr_expect_eq(find(table, "10.0.0.0"), 1);
    cr_expect_eq(find(table, "10.1.0.0"), 2);
    cr_expect_eq(find(table, "10.1.2.0"), 3);
    cr_expect_eq(find(table, "10.1.2.254"), 3);
    cr_expect_eq(find(table, "10.1.2.255"), 4);
    cr_expect_eq(find(table, "10.1.3.0"), 2);
    cr_expect_eq(find(table, "10.2.0.0"), 1);
    cr_expect_eq(find(table, "11.0.0.0"), REGION_NONE);
    region_table_free(table);
}

Test(region_table, families_are_apart)
{
    struct region_table *table;
    struct region_range ranges[] = {range_of("0.0.0.0/0", 1), range_of("fd00::/8", 2)};
    cr_assert_eq(region_table_new(1, ranges, 2, NULL, 0, &table), 0);
    cr_expect_eq(find(table, "255.255.255.255"), 1);
    cr_expect_eq(find(table, "::1"), REGION_NONE);
    cr_expect_eq(find(table, "fdff::1"), 2);
    cr_expect_eq(find(table, "ff00::1"), REGION_NONE);
    cr_expect_eq(find(table, "::ffff:10.0.0.1"), 1, "IPv4-mapped IPv6 is IPv4");
    region_table_free(table);
}

/* Bit by bit, of IPv4. */
static bool range_contains(const struct address_range *range, const struct address *client)
{
    for (uint32_t bit = 0; bit < range->prefix_bits; bit++)
        if (((range->base.ip[bit / 8] ^ client->ip[bit / 8]) & (0x80 >> bit % 8)) != 0)
            return false;
    return true;
}

/* Against a walk over all ranges. */
Test(region_table, agrees_with_a_plain_search)
{
    struct random_state random;
    struct region_range ranges[200];
    struct region_table *table;
    uint32_t count = 0;
    random_init(&random, 3);
    for (uint32_t i = 0; i < 200; i++) {
        struct region_range range = {.region = (uint16_t)(i + 1)};
        uint32_t bits = random_below(&random, 25);
        uint32_t ip = bits == 0 ? 0 : (uint32_t)random_next(&random) & 0x0f0f0f00u & (UINT32_MAX << (32 - bits));
        range.range = (struct address_range){
            .base = {.family = ADDRESS_IPV4, .ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8)}},
            .prefix_bits = (uint8_t)bits};
        bool known = false;
        for (uint32_t j = 0; j < count; j++)
            known = known || (address_equal(&ranges[j].range.base, &range.range.base) &&
                              ranges[j].range.prefix_bits == range.range.prefix_bits);
        if (!known)
            ranges[count++] = range;
    }
    cr_assert_eq(region_table_new(1, ranges, count, NULL, 0, &table), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t ip = (uint32_t)random_next(&random) & 0x0f0f0fffu;
        struct address client = {.family = ADDRESS_IPV4,
                                 .ip = {(uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip}};
        const struct region_range *best = NULL;
        for (uint32_t j = 0; j < count; j++)
            if (range_contains(&ranges[j].range, &client) && (!best || ranges[j].range.prefix_bits > best->range.prefix_bits))
                best = &ranges[j];
        cr_assert_eq(region_table_find(table, &client), best ? best->region : REGION_NONE);
    }
    region_table_free(table);
}
