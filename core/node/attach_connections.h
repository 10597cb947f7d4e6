/* attach_connections - how many established connections each attached server has, as the kernel says.
 *
 * Connections count by the port alone, whatever address of this machine the client took; where two attached servers share a port, by
 * address too. Both ends of a connection within this machine are in the kernel's tables, one for each family: the server's is the one
 * whose local port it is.
 * The kernel is asked for these ports alone (attach_diag.h); to find them it goes through all sockets of the machine. Where it knows no
 * such questions, /proc/net/tcp and tcp6 are read (proc(5)), which list every socket, TIME_WAIT included, at ten times the cost; step by
 * step, a few milliseconds at a time at most.
 * Thread: one owner. Memory: in place, and a descriptor while a round is under way. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/node/attach_config.h"

#define ATTACH_CONNECTIONS_MORE 1

struct attach_connections {
    uint32_t count;
    struct {
        struct address address;
        bool shares_port;
        uint32_t counting; /* in the round under way */
        uint32_t established; /* as of the last whole round */
    } servers[ATTACHED_MAX];

    bool reads_text; /* of /proc/net */
    int fd; /* −1: none open */
    uint32_t table; /* being read, or to be opened next */
    uint32_t tables_read;
    size_t kept; /* bytes of a line whose end has not come */
    char bytes[32768];
};

void attach_connections_init(struct attach_connections *connections);
void attach_connections_done(struct attach_connections *connections);
void attach_connections_add(struct attach_connections *connections, const struct address *address);

/* Counts what the text of a table says, up to its last whole line. Returns how much that is. */
size_t attach_connections_count(struct attach_connections *connections, const char *text, size_t length);

/* ATTACH_CONNECTIONS_MORE: the round goes on with the next step. 0: it is complete. Negative errno: no table could be read, and what the last round
 * found stands; the next step begins a new one. */
NODISCARD int attach_connections_step(struct attach_connections *connections);
