#include "core/node/attach_connections.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/check.h"

#define STATE_ESTABLISHED 1u
#define STEP_READS 8 /* of a page each, which is what the kernel gives at a time */

void attach_connections_init(struct attach_connections *connections)
{
    memset(connections, 0, sizeof(*connections));
    connections->fd = -1;
}

void attach_connections_done(struct attach_connections *connections)
{
    if (connections->fd >= 0)
        close(connections->fd);
    connections->fd = -1;
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
        connections->servers[i].counting++;
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

/* The end of a round: what was counted counts. */
static int round_end(struct attach_connections *connections, int error)
{
    bool any = connections->tables_read > 0;
    for (uint32_t i = 0; i < connections->count; i++) {
        if (any)
            connections->servers[i].established = connections->servers[i].counting;
        connections->servers[i].counting = 0;
    }
    connections->table = 0;
    connections->tables_read = 0;
    return any ? 0 : error;
}

static int table_end(struct attach_connections *connections, int error)
{
    static const uint32_t tables = 2;
    attach_connections_done(connections);
    connections->tables_read += error == 0;
    connections->kept = 0;
    return ++connections->table < tables ? ATTACH_CONNECTIONS_MORE : round_end(connections, error);
}

/* One page; 0: the table's end. */
static int page_read(struct attach_connections *connections)
{
    size_t kept = connections->kept;
    ssize_t length = read(connections->fd, connections->bytes + kept, sizeof(connections->bytes) - kept);
    if (length <= 0)
        return length < 0 ? -errno : 0;
    size_t all = kept + (size_t)length;
    size_t done = attach_connections_count(connections, connections->bytes, all);
    kept = done == 0 && all == sizeof(connections->bytes) ? 0 : all - done; /* no line is so long */
    memmove(connections->bytes, connections->bytes + (all - kept), kept);
    connections->kept = kept;
    return 1;
}

int attach_connections_step(struct attach_connections *connections)
{
    static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"}; /* the latter is not there without IPv6 */
    if (connections->fd < 0) {
        connections->fd = open(paths[connections->table], O_RDONLY | O_CLOEXEC);
        if (connections->fd < 0)
            return table_end(connections, -errno);
    }
    for (int i = 0; i < STEP_READS; i++) {
        int r = page_read(connections);
        if (r <= 0)
            return table_end(connections, r);
    }
    return ATTACH_CONNECTIONS_MORE;
}
