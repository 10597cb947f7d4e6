/* snapshot - the membership of a dispatcher's directory: who is there and who offers what, immutable once built.
 *
 * Invariant: every member names a slot below slot_count; a service's members stand together; a service that was once offered stays
 * known with no members, so that "unknown service" and "no node right now" are told apart.
 * Thread: built on the control thread, read by every core until its next batch; freed when all have moved on.
 * Memory: one allocation. snapshot_new copies what it is given; a table made with snapshot_new_table refers to lists of members that
 * stay their owner's, so that the next snapshot can share those that have not changed. What there is to know of the node in a slot stands
 * in its values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

#define SNAPSHOT_SLOTS_MAX (1u << 20)

#define SNAPSHOT_SLOT_BITS 20
_Static_assert(SNAPSHOT_SLOTS_MAX == 1u << SNAPSHOT_SLOT_BITS, "a member has room for every slot");

/* That a node offers a service. Small, since picks at random hit as many cache lines as there are; and in this order, so that where the
 * node's values are is one instruction away. */
struct snapshot_member {
    uint32_t service_ordinal : 6; /* the service is the node's k-th: its bit in below_mask; < 32 */
    uint32_t slot : SNAPSHOT_SLOT_BITS;
};
_Static_assert(sizeof(struct snapshot_member) == 4, "sixteen members a cache line");

/* A column of a service's shares (shares.h). */
struct snapshot_share {
    uint32_t keep; /* of 2^32 draws of the column these are for its own member */
    struct snapshot_member other; /* and the rest for this one */
};

struct snapshot_service {
    uint64_t service_id;
    const struct snapshot_member *members; /* NULL: an empty cell */
    const struct snapshot_share *shares; /* one for each member; NULL: all alike */
    uint32_t member_count;
};

struct snapshot {
    uint32_t service_mask; /* cells of the service table - 1 */
    uint32_t service_shift; /* 64 - their logarithm */
    struct snapshot_service services[];
};

/* One (service, node) pair as the builder takes it. Slot UINT32_MAX: the service is known, but nobody offers it. */
struct snapshot_offer {
    uint64_t service_id;
    uint32_t slot;
    uint8_t service_ordinal;
};

/* Offers are sorted in place. -EINVAL: a slot that is not below slot_count, or that above SNAPSHOT_SLOTS_MAX. -ENOMEM. */
NODISCARD int snapshot_new(uint32_t slot_count, struct snapshot_offer *offers, uint32_t offer_count,
                           struct snapshot **ret_snapshot);
void snapshot_free(struct snapshot *snapshot); /* NULL is a no-op */

/* A table for up to service_count services, empty. -ENOMEM. */
NODISCARD int snapshot_new_table(uint32_t service_count, struct snapshot **ret_snapshot);

/* A table as large as the other one; every cell must be copied before it is of use. -ENOMEM. */
NODISCARD int snapshot_new_like(const struct snapshot *other, struct snapshot **ret_snapshot);
void snapshot_copy_cells(struct snapshot *snapshot, const struct snapshot *from, uint32_t first, uint32_t count);

/* Until the snapshot is published: who offers the service; it may be in the table already. members may be NULL when there are none,
 * shares at any time. */
void snapshot_put(struct snapshot *snapshot, uint64_t service_id, const struct snapshot_member *members,
                  const struct snapshot_share *shares, uint32_t member_count);

/* No service is known. Looks at every cell while that is so: for cold paths. */
bool snapshot_is_empty(const struct snapshot *snapshot);

/* The index of the service's cell, or of the empty one where it would be. IDs are hashes already; one multiplication (Knuth 1973, 6.4)
 * keeps those apart that were chosen to collide in their low bits. */
static inline uint32_t snapshot_cell(const struct snapshot *snapshot, uint64_t service_id)
{
    uint32_t index = (uint32_t)(service_id * UINT64_C(0x9e3779b97f4a7c15) >> snapshot->service_shift);
    for (;;) {
        const struct snapshot_service *cell = &snapshot->services[index];
        if (LIKELY(cell->service_id == service_id) || !cell->members)
            return index;
        index = (index + 1) & snapshot->service_mask;
    }
}

/* NULL: the service is not known. */
static inline const struct snapshot_service *snapshot_service_find(const struct snapshot *snapshot, uint64_t service_id)
{
    const struct snapshot_service *cell = &snapshot->services[snapshot_cell(snapshot, service_id)];
    return LIKELY(cell->members) ? cell : NULL;
}
