/* ledger - the requests that wait for their replies: from request ID to planned time and connection, and who has waited too long.
 *
 * A request ID is a slot's index and generation, so that a reply that comes twice, too late, or from nowhere finds nothing. Slots are
 * taken in the order in which they were given back: where replies come in order, neighbours in a stream are neighbours in memory.
 * Invariant: a slot is open (odd generation) or in the ring of the free, never both.
 * Thread: one owner. Pure: the time is handed in. Memory: all of it in ledger_init, 20 bytes a slot; ledger_done frees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

struct ledger_entry {
    uint64_t planned_ns; /* LEDGER_ABANDONED */
    uint32_t generation; /* odd while open */
    uint32_t connection;
};

struct ledger {
    struct ledger_entry *entries;
    uint32_t *free; /* ring of slots */
    uint32_t mask; /* slots - 1 */
    uint32_t taken; /* of the ring; wraps */
    uint32_t given; /* to the ring; wraps */
    uint32_t open_count; /* without the abandoned ones */
    uint32_t cursor; /* of ledger_find_expired */
    uint64_t swept_ns; /* it was searched for the expired up to then */
};

#define LEDGER_SWEEPS 8u /* of the whole ledger in a timeout */

#define LEDGER_CAPACITY_MAX (1u << 22)

/* A request that counts as lost, but whose reply is still to come: where replies have no ID, it must not be taken for another's. */
#define LEDGER_ABANDONED UINT64_MAX

/* capacity 1 … LEDGER_CAPACITY_MAX is rounded up to a power of two; `seed` tells this run's IDs from another's. -ENOMEM. */
NODISCARD int ledger_init(struct ledger *ledger, uint32_t capacity, uint32_t seed);
void ledger_done(struct ledger *ledger);

static inline uint32_t ledger_room(const struct ledger *ledger)
{
    return ledger->given - ledger->taken;
}

/* A new request's ID. There must be room. */
static inline uint64_t ledger_open(struct ledger *ledger, uint64_t planned_ns, uint32_t connection)
{
    uint32_t slot = ledger->free[ledger->taken++ & ledger->mask];
    struct ledger_entry *entry = &ledger->entries[slot];
    entry->planned_ns = planned_ns;
    entry->connection = connection;
    entry->generation++;
    ledger->open_count++;
    return (uint64_t)entry->generation << 32 | slot;
}

/* The open request with that ID; NULL: there is none. */
static inline struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t request_id)
{
    uint32_t slot = (uint32_t)request_id, generation = (uint32_t)(request_id >> 32);
    if (UNLIKELY(slot > ledger->mask))
        return NULL;
    struct ledger_entry *entry = &ledger->entries[slot];
    return LIKELY(entry->generation == generation && (generation & 1)) ? entry : NULL;
}

/* Ends the request with that ID. Returns its entry, which holds until the next ledger_open; NULL: no such request is open. */
static inline const struct ledger_entry *ledger_close(struct ledger *ledger, uint64_t request_id)
{
    struct ledger_entry *entry = ledger_find(ledger, request_id);
    if (UNLIKELY(!entry))
        return NULL;
    entry->generation++;
    ledger->free[ledger->given++ & ledger->mask] = (uint32_t)request_id;
    ledger->open_count -= entry->planned_ns != LEDGER_ABANDONED;
    return entry;
}

/* The ID of the request that has a slot now, for protocols that carry the slot alone; 0, which is nobody's: it is free. */
static inline uint64_t ledger_id(const struct ledger *ledger, uint32_t slot)
{
    uint32_t generation = slot <= ledger->mask ? ledger->entries[slot].generation : 0;
    return generation & 1 ? (uint64_t)generation << 32 | slot : 0;
}

/* It stays open, but is not found again, nor counted in open_count. It must not be abandoned yet. */
void ledger_abandon(struct ledger *ledger, uint64_t request_id);

/* The budget of ledger_find_expired by which all slots are looked at LEDGER_SWEEPS times in a timeout. 0: there is nothing to look at yet. */
NODISCARD uint32_t ledger_sweep_begin(struct ledger *ledger, uint64_t now_ns, uint64_t timeout_ns);

/* Looks on, round and round, at up to *budget slots for a request that was planned at or before that time. 0: none there. */
NODISCARD uint64_t ledger_find_expired(struct ledger *ledger, uint64_t planned_ns, uint32_t *budget);
