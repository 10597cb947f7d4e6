/* attach_connections - how many established connections each attached server has, from /proc/net/tcp and tcp6 (proc(5)).
 *
 * Connections count by the port alone, whatever address of this machine the client took; where two attached servers share a port, by
 * address too. Both ends of a connection within this machine are in the tables: the server's is the one whose local port it is.
 * Thread: one owner. attach_connections_read reads files of /proc, whose cost grows with all connections of this machine (about
 * 1 ms for each 1,000): how often is the caller's care. Memory: none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/node/attach_config.h"

struct attach_connections {
    uint32_t count;
    struct {
        struct address address;
        bool shares_port;
        uint32_t established;
    } servers[ATTACHED_MAX];
};

void attach_connections_init(struct attach_connections *connections);
void attach_connections_add(struct attach_connections *connections, const struct address *address);

/* Counts what the text of a table says, up to its last whole line. Returns how much that is. */
size_t attach_connections_count(struct attach_connections *connections, const char *text, size_t length);

/* Counts anew. Negative errno: no table could be read; the counts are as they were. */
NODISCARD int attach_connections_read(struct attach_connections *connections);
