#include "core/node/attach_connections.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/node/attach_diag.h"

#define STATE_ESTABLISHED 1u
#define STEP_READS 8 /* of a page of text each, which is what the kernel gives at a time, or some hundred connections */

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

static void connection_count(struct attach_connections *connections, const struct address *local)
{
    for (uint32_t i = 0; i < connections->count; i++) {
        const struct address *server = &connections->servers[i].address;
        if (connections->servers[i].shares_port ? address_equal(local, server) : local->port == server->port)
            connections->servers[i].counting++;
    }
}

/* "   0: 0100007F:1F90 00000000:0000 0A …": number, local, remote, state. */
static void line_count(struct attach_connections *connections, const char *line)
{
    char ip[33];
    uint32_t port, state;
    struct address local;
    if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x", ip, &port, &state) == 3 && state == STATE_ESTABLISHED &&
        address_read(ip, strlen(ip), port, &local))
        connection_count(connections, &local);
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

/* ---- /proc/net ---- */

static int text_open(uint32_t table)
{
    static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"}; /* the latter is not there without IPv6 */
    int fd = open(paths[table], O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* One page; 0: the table's end. */
static int text_read(struct attach_connections *connections)
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

/* ---- sock_diag ---- */

/* The question; its answer's first part is there when sending has returned. */
static int diag_open(const struct attach_connections *connections, uint32_t table)
{
    uint8_t request[ATTACH_DIAG_REQUEST_BYTES_MAX];
    uint16_t ports[ATTACHED_MAX];
    for (uint32_t i = 0; i < connections->count; i++)
        ports[i] = connections->servers[i].address.port;
    size_t length = attach_diag_request(table == 0 ? ADDRESS_IPV4 : ADDRESS_IPV6, ports, connections->count, request);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (fd >= 0 && send(fd, request, length, 0) >= 0)
        return fd;
    int error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

static void on_connection(void *ctx, const struct address *local)
{
    connection_count(ctx, local);
}

static int diag_read(struct attach_connections *connections)
{
    ssize_t length = recv(connections->fd, connections->bytes, sizeof(connections->bytes), MSG_TRUNC);
    if (length < 0)
        return -errno;
    if ((size_t)length > sizeof(connections->bytes))
        return -EPROTO;
    return attach_diag_take((const uint8_t *)connections->bytes, (size_t)length, on_connection, connections);
}

/* Neither these questions nor this filter are known here, or allowed. */
static bool diag_is_refused(int error)
{
    return error == -EPROTONOSUPPORT || error == -EAFNOSUPPORT || error == -EOPNOTSUPP || error == -ENOENT || error == -EINVAL ||
           error == -EACCES || error == -EPERM || error == -EPROTO;
}

/* ---- both ---- */

static int table_read(struct attach_connections *connections)
{
    if (connections->fd < 0) {
        int fd = connections->reads_text ? text_open(connections->table) : diag_open(connections, connections->table);
        if (fd < 0)
            return fd;
        connections->fd = fd;
    }
    int r = 1;
    for (int i = 0; i < STEP_READS && r > 0; i++)
        r = connections->reads_text ? text_read(connections) : diag_read(connections);
    return r;
}

int attach_connections_step(struct attach_connections *connections)
{
    int r = table_read(connections);
    if (r > 0)
        return ATTACH_CONNECTIONS_MORE;
    if (r < 0 && connections->table == 0 && !connections->reads_text && diag_is_refused(r)) {
        connections->reads_text = true;
        attach_connections_done(connections);
        for (uint32_t i = 0; i < connections->count; i++)
            connections->servers[i].counting = 0;
        return ATTACH_CONNECTIONS_MORE;
    }
    return table_end(connections, r);
}
