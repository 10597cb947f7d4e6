#include "core/node/attach_connections.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/check.h"

#define STATE_ESTABLISHED 1u
#define READ_BYTES (32u << 10)

void attach_connections_init(struct attach_connections *connections)
{
    connections->count = 0;
}

void attach_connections_add(struct attach_connections *connections, const struct address *address)
{
    CHECK(connections->count < ATTACHED_MAX);
    bool shares_port = false;
    for (uint32_t i = 0; i < connections->count; i++)
        if (connections->servers[i].address.port == address->port)
            connections->servers[i].shares_port = shares_port = true;
    connections->servers[connections->count].address = *address;
    connections->servers[connections->count].shares_port = shares_port;
    connections->servers[connections->count].established = 0;
    connections->count++;
}

/* 32-bit words of the address as this machine has them in memory, in hexadecimal. */
static bool address_read(const char *text, size_t digits, uint32_t port, struct address *ret_address)
{
    struct address address = {.family = digits == 8 ? ADDRESS_IPV4 : ADDRESS_IPV6, .port = (uint16_t)port};
    if (digits != 8 && digits != 32)
        return false;
    for (size_t word = 0; word < digits / 8; word++) {
        uint32_t value;
        if (sscanf(text + 8 * word, "%8x", &value) != 1)
            return false;
        memcpy(address.ip + 4 * word, &value, sizeof(value));
    }
    *ret_address = address_plain(&address);
    return true;
}

/* "   0: 0100007F:1F90 00000000:0000 0A …": number, local, remote, state. */
static void line_count(struct attach_connections *connections, const char *line)
{
    char ip[33];
    uint32_t port, state;
    struct address address;
    if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x", ip, &port, &state) != 3 || state != STATE_ESTABLISHED)
        return;
    for (uint32_t i = 0; i < connections->count; i++) {
        if (connections->servers[i].address.port != port)
            continue;
        if (connections->servers[i].shares_port &&
            (!address_read(ip, strlen(ip), port, &address) || !address_equal(&address, &connections->servers[i].address)))
            continue;
        connections->servers[i].established++;
    }
}

size_t attach_connections_count(struct attach_connections *connections, const char *text, size_t length)
{
    size_t done = 0;
    for (;;) {
        char line[256];
        const char *newline = memchr(text + done, '\n', length - done);
        if (newline == NULL)
            return done;
        size_t line_length = (size_t)(newline - text) - done;
        size_t kept = line_length < sizeof(line) ? line_length : sizeof(line) - 1;
        memcpy(line, text + done, kept);
        line[kept] = '\0';
        line_count(connections, line);
        done += line_length + 1;
    }
}

static int table_read(struct attach_connections *connections, const char *path)
{
    char bytes[READ_BYTES];
    size_t kept = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t length = read(fd, bytes + kept, sizeof(bytes) - kept);
        if (length <= 0) {
            int error = length < 0 ? -errno : 0;
            close(fd);
            return error;
        }
        size_t all = kept + (size_t)length;
        size_t done = attach_connections_count(connections, bytes, all);
        kept = done == 0 && all == sizeof(bytes) ? 0 : all - done; /* no line is so long */
        memmove(bytes, bytes + (all - kept), kept);
    }
}

int attach_connections_read(struct attach_connections *connections)
{
    struct attach_connections counted = *connections;
    for (uint32_t i = 0; i < counted.count; i++)
        counted.servers[i].established = 0;
    int ipv4 = table_read(&counted, "/proc/net/tcp");
    int ipv6 = table_read(&counted, "/proc/net/tcp6"); /* not there without IPv6 */
    if (ipv4 < 0 && ipv6 < 0)
        return ipv4;
    *connections = counted;
    return 0;
}
