#include "dispatcher/publication.h"

#include <stddef.h>

#include "core/base/check.h"

#define PUBLICATION_OUTSIDE UINT64_MAX

void publication_init(struct publication *publication, uint32_t reader_count, void *first)
{
    CHECK(reader_count <= PUBLICATION_READERS_MAX);
    atomic_init(&publication->current, first);
    atomic_init(&publication->version, 1);
    publication->reader_count = reader_count;
    publication->oldest = NULL;
    publication->newest = NULL;
    for (uint32_t i = 0; i < reader_count; i++)
        atomic_init(&publication->readers[i].version, PUBLICATION_OUTSIDE);
}

void publication_done(struct publication *publication)
{
    publication_collect(publication);
    CHECK(publication->oldest == NULL);
}

void *publication_enter(struct publication *publication, uint32_t reader)
{
    /* Acquire: who has seen a retirement's version also sees the pointer that was stored before it. */
    uint64_t version = atomic_load_explicit(&publication->version, memory_order_acquire);
    atomic_store_explicit(&publication->readers[reader].version, version, memory_order_seq_cst);
    return atomic_load_explicit(&publication->current, memory_order_seq_cst);
}

void publication_leave(struct publication *publication, uint32_t reader)
{
    atomic_store_explicit(&publication->readers[reader].version, PUBLICATION_OUTSIDE, memory_order_release);
}

void publication_replace(struct publication *publication, void *next)
{
    atomic_store_explicit(&publication->current, next, memory_order_seq_cst);
}

void publication_retire(struct publication *publication, struct retired *retired, void (*release)(struct retired *retired))
{
    /* A reader that entered before this increment may hold it; one that enters with the new version may not. */
    retired->version = atomic_fetch_add_explicit(&publication->version, 1, memory_order_seq_cst) + 1;
    retired->release = release;
    retired->next = NULL;
    if (publication->newest)
        publication->newest->next = retired;
    else
        publication->oldest = retired;
    publication->newest = retired;
}

/* The version that every reader inside has at least. */
static uint64_t readers_version(const struct publication *publication)
{
    uint64_t oldest = PUBLICATION_OUTSIDE;
    for (uint32_t i = 0; i < publication->reader_count; i++) {
        uint64_t version = atomic_load_explicit(&publication->readers[i].version, memory_order_seq_cst);
        if (version < oldest)
            oldest = version;
    }
    return oldest;
}

void publication_collect(struct publication *publication)
{
    if (!publication->oldest)
        return;
    uint64_t version = readers_version(publication);
    while (publication->oldest && publication->oldest->version <= version) {
        struct retired *retired = publication->oldest;
        publication->oldest = retired->next;
        if (!publication->oldest)
            publication->newest = NULL;
        retired->release(retired);
    }
}
