#include "dispatcher/connections.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/base/check.h"

#define FREE_NONE UINT32_MAX

int connections_init(struct connections *connections, uint32_t capacity)
{
    *connections = (struct connections){.capacity = capacity, .first_free = FREE_NONE};
    /* Mapped, not malloc'ed: pages of entries that are never used stay untouched. */
    void *table = mmap(NULL, capacity * sizeof(struct connection), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return -ENOMEM;
    connections->table = table;
    list_init(&connections->watched);
    return 0;
}

void connections_done(struct connections *connections)
{
    if (connections->table)
        munmap(connections->table, connections->capacity * sizeof(struct connection));
}

static void count_change(struct connections *connections, uint32_t change)
{
    uint32_t count = atomic_load_explicit(&connections->count, memory_order_relaxed);
    atomic_store_explicit(&connections->count, count + change, memory_order_relaxed);
}

struct connection *connections_add(struct connections *connections, struct stream *stream)
{
    uint32_t index = connections->first_free;
    if (index != FREE_NONE)
        connections->first_free = connections->table[index].next_free;
    else if (connections->used < connections->capacity)
        index = connections->used++;
    else
        return NULL;
    struct connection *connection = &connections->table[index];
    *connection = (struct connection){.stream = stream, .index = index, .generation = connection->generation + 1};
    list_init(&connection->watched_link);
    count_change(connections, 1);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    CHECK(connection->stream);
    connection->stream = NULL;
    list_remove(&connection->watched_link);
    connection->next_free = connections->first_free;
    connections->first_free = connection->index;
    count_change(connections, UINT32_MAX);
}

struct connection *connections_find(struct connections *connections, uint32_t index, uint32_t generation)
{
    struct connection *connection = &connections->table[index];
    return connection->stream && connection->generation == generation ? connection : NULL;
}
