/* Addresses and client ranges as people write them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "core/base/address.h"

static struct address parsed(const char *text)
{
    struct address address;
    cr_assert_eq(address_parse(text, &address), 0, "%s", text);
    return address;
}

Test(address, refuses_what_is_not_an_address)
{
    static const char *const wrong[] = {
        "",       ":80",   "1.2.3.4", "1.2.3.4:", "1.2.3:80",    "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:8x",     "localhost:80",
        "::1:80", "[::1]", "[::1:80", "::1]:80",  "[1.2.3.4:80", " 1.2.3.4:80",   "[]:80",      "[fe80::1%lo]:80"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct address address = {.port = 77};
        cr_expect_eq(address_parse(wrong[i], &address), -EINVAL, "%s", wrong[i]);
        cr_expect_eq(address.port, 77, "untouched on failure: %s", wrong[i]);
    }
}

Test(address, survives_a_round_trip)
{
    static const char *const right[] = {"1.2.3.4:80", "255.255.255.255:65535", "0.0.0.0:0", "[::1]:7400",
                                        "[2001:db8::8:800:200c:417a]:1"};
    char text[ADDRESS_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        struct address address = parsed(right[i]);
        cr_expect_str_eq(address_format(&address, text), right[i]);
    }
}

Test(address, survives_the_kernels_form)
{
    static const char *const right[] = {"1.2.3.4:80", "[2001:db8::1]:443"};
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        struct address before = parsed(right[i]);
        struct address after;
        struct sockaddr_storage storage;
        address_to_socket(&before, &storage);
        cr_assert_eq(address_from_socket((const struct sockaddr *)&storage, &after), 0);
        cr_expect(address_equal(&before, &after));
    }
}

Test(address, unmaps_ipv4_in_ipv6)
{
    struct address mapped = parsed("[::ffff:10.1.2.3]:80");
    struct address plain;
    struct sockaddr_storage storage;
    address_to_socket(&mapped, &storage);
    cr_assert_eq(address_from_socket((const struct sockaddr *)&storage, &plain), 0);
    struct address expected = parsed("10.1.2.3:80");
    cr_expect(address_equal(&plain, &expected));
}

Test(address, refuses_a_unix_socket_address)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct address address;
    cr_expect_eq(address_from_socket((const struct sockaddr *)&storage, &address), -EAFNOSUPPORT);
}

Test(address, knows_loopback_and_wildcard)
{
    struct address loopback4 = parsed("127.9.9.9:1");
    struct address loopback6 = parsed("[::1]:1");
    struct address other = parsed("128.0.0.1:1");
    struct address wildcard = parsed("0.0.0.0:1");
    cr_expect(address_is_loopback(&loopback4));
    cr_expect(address_is_loopback(&loopback6));
    cr_expect_not(address_is_loopback(&other));
    cr_expect(address_is_wildcard(&wildcard));
    cr_expect_not(address_is_wildcard(&other));
}

Test(address, flaws_have_names)
{
    static const struct {
        const char *address;
        const char *flaw;
    } flawed[] = {
        {"127.0.0.1:0", "port 0"},
        {"[2001:db8::1]:0", "port 0"},
        {"0.0.0.0:80", "a wildcard"},
        {"[::]:80", "a wildcard"},
        {"[::ffff:0.0.0.0]:80", "a wildcard"},
        {"224.0.0.1:80", "a multicast address"},
        {"239.255.255.255:80", "a multicast address"},
        {"[ff02::1]:80", "a multicast address"},
        {"255.255.255.255:80", "the broadcast address"},
        {"[::ffff:255.255.255.255]:80", "the broadcast address"},
    };
    static const char *const right[] = {"127.0.0.1:80", "223.255.255.255:1", "255.255.255.254:1", "[::1]:65535", "[fe80::1]:1"};
    struct address none = {.family = ADDRESS_NONE};
    for (size_t i = 0; i < ARRAY_COUNT(flawed); i++) {
        struct address address = parsed(flawed[i].address);
        cr_expect_str_eq(address_flaw(&address), flawed[i].flaw, "%s", flawed[i].address);
    }
    for (size_t i = 0; i < ARRAY_COUNT(right); i++) {
        struct address address = parsed(right[i]);
        cr_expect_null(address_flaw(&address), "%s", right[i]);
    }
    cr_expect_str_eq(address_flaw(&none), "no address");
}

Test(address_range, refuses_what_is_not_a_range)
{
    static const char *const wrong[] = {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0/8", "/8", "10.0.0.0/8x"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct address_range range;
        cr_expect_eq(address_range_parse(wrong[i], &range), -EINVAL, "%s", wrong[i]);
    }
}

static void expect_base(const char *range_text, const char *base_text, uint8_t prefix_bits)
{
    struct address_range range;
    struct address base;
    cr_assert_eq(address_range_parse(range_text, &range), 0);
    cr_assert_eq(address_parse_ip(base_text, &base), 0);
    cr_expect(address_equal(&range.base, &base), "%s", range_text);
    cr_expect_eq(range.prefix_bits, prefix_bits);
}

Test(address_range, host_bits_are_cleared)
{
    expect_base("10.1.2.3/8", "10.0.0.0", 8);
    expect_base("127.0.1.255/25", "127.0.1.128", 25);
    expect_base("203.0.113.9/0", "0.0.0.0", 0);
    expect_base("fdff::1/9", "fd80::", 9);
    expect_base("192.0.2.7/32", "192.0.2.7", 32);
}
