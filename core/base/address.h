/* address - an IPv4 or IPv6 address with a port, and a range of client addresses (CIDR).
 *
 * Invariant: bytes of `ip` that the family does not use are zero, so that equality is memcmp and the struct is a map key.
 * Names never: getaddrinfo blocks, so addresses are numeric everywhere.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/macros.h"

enum address_family {
    ADDRESS_NONE = 0,
    ADDRESS_IPV4 = 4,
    ADDRESS_IPV6 = 6,
};

struct address {
    uint8_t family; /* enum address_family */
    uint8_t zero;
    uint16_t port; /* host byte order */
    uint8_t ip[16]; /* network byte order; IPv4 in the first four */
};
_Static_assert(sizeof(struct address) == 20, "struct address is a map key without holes");

struct address_range {
    struct address base; /* port 0 */
    uint8_t prefix_bits; /* 0 … 32 or 128 */
};

/* "[" 39 "%"… is refused, so: [ 39 ] : 5 NUL */
#define ADDRESS_TEXT_BYTES 48

/* Parses "1.2.3.4:80" or "[::1]:80". A port is required, 0 is allowed (the kernel picks one). -EINVAL. */
NODISCARD int address_parse(const char *text, struct address *ret_address);

/* Parses "1.2.3.4" or "::1" (brackets allowed); the port becomes 0. -EINVAL. */
NODISCARD int address_parse_ip(const char *text, struct address *ret_address);

/* Parses "10.0.0.0/8" or "fd00::/8"; host bits are cleared. -EINVAL. */
NODISCARD int address_range_parse(const char *text, struct address_range *ret_range);

/* Writes "1.2.3.4:80" into text and returns it; "-" for ADDRESS_NONE. */
const char *address_format(const struct address *address, char text[static ADDRESS_TEXT_BYTES]);

/* Fills a socket address; returns its length. The family must not be ADDRESS_NONE. */
socklen_t address_to_socket(const struct address *address, struct sockaddr_storage *ret_socket_address);

/* From what the kernel says; IPv4-mapped IPv6 becomes IPv4. -EAFNOSUPPORT. */
NODISCARD int address_from_socket(const struct sockaddr *socket_address, struct address *ret_address);

/* IPv4-mapped IPv6 as the IPv4 address it means; others as they are. */
struct address address_plain(const struct address *address);

static inline bool address_equal(const struct address *a, const struct address *b)
{
    uint64_t words_a[2], words_b[2];
    uint32_t end_a, end_b;
    memcpy(words_a, a, sizeof(words_a));
    memcpy(words_b, b, sizeof(words_b));
    memcpy(&end_a, a->ip + 12, sizeof(end_a));
    memcpy(&end_b, b->ip + 12, sizeof(end_b));
    return ((words_a[0] ^ words_b[0]) | (words_a[1] ^ words_b[1]) | (end_a ^ end_b)) == 0;
}

/* 127.0.0.0/8 or ::1. */
bool address_is_loopback(const struct address *address);

/* 0.0.0.0 or ::. */
bool address_is_wildcard(const struct address *address);

/* Multicast or broadcast: 224.0.0.0/4, 255.255.255.255, ff00::/8. */
bool address_is_for_many(const struct address *address);

/* What keeps others from reaching one program there, for messages: "port 0", "a wildcard", "a multicast address" …; NULL: nothing. */
const char *address_flaw(const struct address *address);
