/* ledger - the requests that wait for their replies: from request ID to planned time and connection, and who has waited too long.
 *
 * A request ID is a slot's index and generation, so that a reply that comes twice, too late, or from nowhere finds nothing.
 * Invariant: the open entries form a list in the order in which they were opened, hence of their planned times: the oldest is
 * the first to expire.
 * Thread: one owner. Pure: the time is handed in. Memory: all of it in ledger_init, 24 bytes an entry; ledger_done frees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

struct ledger_entry {
    uint64_t planned_ns;
    uint32_t generation; /* odd while open */
    uint32_t connection;
    uint32_t older; /* in the list of the open; `older` also links the free ones */
    uint32_t newer;
};

struct ledger {
    struct ledger_entry *entries; /* [0] is where the ring of the open begins and ends */
    uint32_t free; /* the one freed last; 0: none */
    uint32_t capacity; /* entries[1 … capacity] */
    uint32_t open_count;
    uint32_t unused; /* entries behind this one have never been open */
};

#define LEDGER_CAPACITY_MAX (1u << 22)

/* capacity 1 … LEDGER_CAPACITY_MAX; `seed` tells this run's IDs from another's. -ENOMEM. */
NODISCARD int ledger_init(struct ledger *ledger, uint32_t capacity, uint32_t seed);
void ledger_done(struct ledger *ledger);

static inline uint32_t ledger_room(const struct ledger *ledger)
{
    return ledger->capacity - ledger->open_count;
}

/* A new request's ID; planned_ns not before that of the last one. There must be room. */
uint64_t ledger_open(struct ledger *ledger, uint64_t planned_ns, uint32_t connection);

/* Ends the request with that ID and copies its entry out. False: no such request is open. */
NODISCARD bool ledger_close(struct ledger *ledger, uint64_t request_id, struct ledger_entry *ret_entry);

/* Ends the oldest request if it was planned at or before that time. False: there is none. */
NODISCARD bool ledger_expire(struct ledger *ledger, uint64_t planned_ns, struct ledger_entry *ret_entry);

/* Planned time of the oldest; UINT64_MAX when none is open. */
uint64_t ledger_oldest_ns(const struct ledger *ledger);
