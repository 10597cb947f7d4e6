#include "core/io/peers.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct peers peers;

static void peers_open(void)
{
    peers_init(&peers);
}

static void peers_close(void)
{
    peers_done(&peers);
}

TestSuite(peers, .init = peers_open, .fini = peers_close);

static struct address ip(const char *text)
{
    struct address address;
    cr_assert_eq(address_parse_ip(text, &address), 0);
    return address;
}

static int add(const char *text, uint32_t limit, struct peer **ret_peer)
{
    struct address address = ip(text);
    return peers_add(&peers, &address, limit, ret_peer);
}

Test(peers, one_more_than_the_limit_is_refused)
{
    struct peer *peer = NULL;
    cr_assert_eq(add("192.0.2.1", 2, &peer), 0);
    cr_assert_eq(add("192.0.2.1", 2, &peer), 0);
    cr_expect_eq(add("192.0.2.1", 2, &peer), -EMFILE);
    cr_expect_not_null(peer, "untouched on failure");
}

Test(peers, other_addresses_are_counted_apart)
{
    struct peer *peer;
    cr_assert_eq(add("192.0.2.1", 1, &peer), 0);
    cr_expect_eq(add("192.0.2.2", 1, &peer), 0);
    cr_expect_eq(add("192.0.2.1", 1, &peer), -EMFILE);
}

Test(peers, one_that_ended_makes_room)
{
    struct peer *peer;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(add("192.0.2.1", 1, &peer), 0);
        peers_remove(&peers, peer);
    }
}

Test(peers, a_customers_ipv6_addresses_count_together)
{
    struct peer *peer;
    cr_assert_eq(add("2001:db8::1", 1, &peer), 0);
    cr_expect_eq(add("2001:db8::ffff:1", 1, &peer), -EMFILE);
    cr_expect_eq(add("2001:db8:0:1::1", 1, &peer), 0);
}

Test(peers, loopback_is_not_counted)
{
    struct peer *peer;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(add("127.0.0.1", 1, &peer), 0);
        cr_expect_null(peer);
        peers_remove(&peers, peer);
    }
}

/* Many in one bucket: taking one out leaves the others. */
Test(peers, thousands_of_addresses_come_and_go)
{
    enum { ADDRESSES = 20000 };
    static struct peer *peer[ADDRESSES];
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < ADDRESSES; i++) {
            struct address address = {.family = ADDRESS_IPV4, .ip = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
            cr_assert_eq(peers_add(&peers, &address, 1, &peer[i]), 0);
        }
        for (uint32_t i = 0; i < ADDRESSES; i++)
            peers_remove(&peers, peer[i * 7 % ADDRESSES]);
    }
}
