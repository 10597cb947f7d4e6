/* connections - the TCP connections of a core, found by index and generation, since a request in the queue may outlive its
 * connection.
 *
 * Thread: the core's. Memory: one table, allocated in connections_init. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/io/list.h"
#include "core/io/stream.h"

struct connection {
    struct stream *stream; /* NULL: free */
    struct core *core;
    uint32_t index;
    uint32_t generation;
    uint32_t owed_bytes; /* limits of its requests in the queue */
    bool stalled; /* left bytes with the stream */
    bool refused; /* sent nonsense: nothing more is taken in, and it is closed when nothing is owed any more */
    uint32_t skip_bytes; /* that are still to come of a frame nothing more of which is of interest */
    uint64_t partial_ns; /* when the frame that is not complete yet began; 0: none */
    uint64_t taken_bytes; /* of all frames so far */
    uint64_t seen_taken; /* at the last look */
    size_t seen_pending;
    uint64_t still_ns; /* the last look at which something had moved */
    struct list_link watched_link; /* in connections.watched while it may become too slow */
    uint32_t next_free;
};

struct connections {
    struct connection *table;
    uint32_t capacity;
    uint32_t used; /* entries ever used */
    uint32_t first_free;
    struct list_link watched; /* something has come of them and is not over yet; idle ones cost nobody a look */
    _Atomic uint32_t count;
};

/* -ENOMEM. */
NODISCARD int connections_init(struct connections *connections, uint32_t capacity);
void connections_done(struct connections *connections);

/* NULL: the table is full. */
struct connection *connections_add(struct connections *connections, struct stream *stream);
void connections_remove(struct connections *connections, struct connection *connection);

/* NULL: it has gone. */
struct connection *connections_find(struct connections *connections, uint32_t index, uint32_t generation);
