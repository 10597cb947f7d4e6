#include "core/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/decimal.h"

static int port_parse(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (*text == '\0')
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        port = port * 10 + (uint32_t)(*text - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static int ip_parse(const char *text, struct address *ret_address)
{
    struct address address = {0};
    if (inet_pton(AF_INET, text, address.ip) == 1)
        address.family = ADDRESS_IPV4;
    else if (inet_pton(AF_INET6, text, address.ip) == 1)
        address.family = ADDRESS_IPV6;
    else
        return -EINVAL;
    *ret_address = address;
    return 0;
}

/* Copies text[0 … length-1] without its brackets; false when it does not fit or brackets do not match. */
static bool ip_text_copy(const char *text, size_t length, char copy[static ADDRESS_TEXT_BYTES])
{
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (length == 0 || length >= ADDRESS_TEXT_BYTES)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return true;
}

int address_parse(const char *text, struct address *ret_address)
{
    const char *colon = strrchr(text, ':');
    char ip[ADDRESS_TEXT_BYTES];
    struct address address;
    uint16_t port;
    if (!colon || !ip_text_copy(text, (size_t)(colon - text), ip) || port_parse(colon + 1, &port) < 0 ||
        ip_parse(ip, &address) < 0)
        return -EINVAL;
    /* "::1:80" is ambiguous; IPv6 with a port needs its brackets. */
    if (address.family == ADDRESS_IPV6 && text[0] != '[')
        return -EINVAL;
    address.port = port;
    *ret_address = address;
    return 0;
}

int address_parse_ip(const char *text, struct address *ret_address)
{
    char ip[ADDRESS_TEXT_BYTES];
    if (!ip_text_copy(text, strlen(text), ip))
        return -EINVAL;
    return ip_parse(ip, ret_address);
}

static void ip_mask(uint8_t ip[static 16], uint32_t prefix_bits)
{
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t kept = prefix_bits > i * 8 ? prefix_bits - i * 8 : 0;
        if (kept < 8)
            ip[i] = (uint8_t)(ip[i] & (0xff00u >> kept));
    }
}

int address_range_parse(const char *text, struct address_range *ret_range)
{
    const char *slash = strchr(text, '/');
    char ip[ADDRESS_TEXT_BYTES];
    struct address_range range = {0};
    uint16_t bits;
    if (!slash || !ip_text_copy(text, (size_t)(slash - text), ip) || port_parse(slash + 1, &bits) < 0 ||
        ip_parse(ip, &range.base) < 0)
        return -EINVAL;
    if (bits > (range.base.family == ADDRESS_IPV4 ? 32 : 128))
        return -EINVAL;
    range.prefix_bits = (uint8_t)bits;
    ip_mask(range.base.ip, bits);
    *ret_range = range;
    return 0;
}

struct address address_plain(const struct address *address)
{
    static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
    struct address plain = *address;
    if (address->family == ADDRESS_IPV6 && memcmp(address->ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        plain = (struct address){.family = ADDRESS_IPV4, .port = address->port};
        memcpy(plain.ip, address->ip + sizeof(mapped_prefix), 4);
    }
    return plain;
}

/* Without printf: rm writes two of these for each heartbeat that it mirrors. */
static void ipv4_format(const struct address *address, char text[static ADDRESS_TEXT_BYTES])
{
    char digits[DECIMAL_TEXT_BYTES];
    for (size_t i = 0; i < 5; i++) {
        size_t length = decimal_format(i < 4 ? address->ip[i] : address->port, digits);
        memcpy(text, digits, length);
        text[length] = i < 3 ? '.' : ':';
        text += length + 1;
    }
    text[-1] = '\0';
}

const char *address_format(const struct address *address, char text[static ADDRESS_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN];
    if (address->family == ADDRESS_IPV4)
        ipv4_format(address, text);
    else if (address->family == ADDRESS_IPV6 && inet_ntop(AF_INET6, address->ip, ip, sizeof(ip)))
        snprintf(text, ADDRESS_TEXT_BYTES, "[%.39s]:%u", ip, address->port);
    else
        snprintf(text, ADDRESS_TEXT_BYTES, "-");
    return text;
}

socklen_t address_to_socket(const struct address *address, struct sockaddr_storage *ret_socket_address)
{
    CHECK(address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6);
    memset(ret_socket_address, 0, sizeof(*ret_socket_address));
    if (address->family == ADDRESS_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_socket_address;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_socket_address;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    memcpy(&in6->sin6_addr, address->ip, 16);
    return sizeof(*in6);
}

int address_from_socket(const struct sockaddr *socket_address, struct address *ret_address)
{
    struct address address = {0};
    if (socket_address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)socket_address;
        address.family = ADDRESS_IPV4;
        address.port = ntohs(in->sin_port);
        memcpy(address.ip, &in->sin_addr, 4);
    } else if (socket_address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)socket_address;
        address.family = ADDRESS_IPV6;
        address.port = ntohs(in6->sin6_port);
        memcpy(address.ip, &in6->sin6_addr, 16);
        address = address_plain(&address);
    } else {
        return -EAFNOSUPPORT;
    }
    *ret_address = address;
    return 0;
}

bool address_is_loopback(const struct address *address)
{
    static const uint8_t loopback[16] = {[15] = 1};
    struct address plain = address_plain(address);
    if (plain.family == ADDRESS_IPV4)
        return plain.ip[0] == 127;
    return plain.family == ADDRESS_IPV6 && memcmp(plain.ip, loopback, sizeof(loopback)) == 0;
}

bool address_is_wildcard(const struct address *address)
{
    static const uint8_t zero[16] = {0};
    return address->family != ADDRESS_NONE && memcmp(address->ip, zero, sizeof(zero)) == 0;
}

bool address_is_for_many(const struct address *address)
{
    struct address plain = address_plain(address);
    if (plain.family == ADDRESS_IPV6)
        return plain.ip[0] == 0xff;
    return (plain.ip[0] & 0xf0) == 0xe0 || (plain.ip[0] & plain.ip[1] & plain.ip[2] & plain.ip[3]) == 0xff;
}

const char *address_flaw(const struct address *address)
{
    struct address plain = address_plain(address);
    if (plain.family == ADDRESS_NONE)
        return "no address";
    if (plain.port == 0)
        return "port 0";
    if (address_is_wildcard(&plain))
        return "a wildcard";
    if (address_is_for_many(&plain))
        return plain.family == ADDRESS_IPV4 && plain.ip[0] == 0xff ? "the broadcast address" : "a multicast address";
    return NULL;
}
