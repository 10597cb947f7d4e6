/* members - the nodes that rm has told us about: which slot each has, its values, and the snapshots built of them.
 *
 * Invariant: a node keeps its slot while it is a member; a freed slot is given to nobody until no core can see the node in it.
 * A node's flags and load go into the values at once; who is there and offers what, goes into the next snapshot.
 * Thread: control. Memory: values are allocated once for MEMBERS_MAX (untouched pages cost nothing), the rest grows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/map.h"
#include "core/policy/snapshot.h"
#include "core/policy/values.h"
#include "core/wire/directory.h"
#include "dispatcher/publication.h"

#define MEMBERS_MAX SNAPSHOT_SLOTS_MAX /* rm takes no more nodes either */
#define MEMBER_SERVICES_KNOWN_MAX (1u << 16)

/* Gets nothing new; and of these and the expired ones clients need not hear. */
#define MEMBER_FLAGS_DRAINED (WIRE_NODE_DRAINING | WIRE_NODE_ADMIN_DRAIN)
#define MEMBER_FLAGS_OUT_OF_SERVICE (MEMBER_FLAGS_DRAINED | WIRE_NODE_LAST)

enum member_state {
    MEMBER_FREE, /* the slot is nobody's */
    MEMBER_PRESENT, /* in the directory */
    MEMBER_RETIRED, /* gone, but a core may still see it */
};

struct member {
    struct retired retired; /* first: the slot's way back into use */
    struct members *owner;
    uint32_t slot;
    enum member_state state;
    uint32_t generation; /* of the full list that named it last */
    uint64_t reported_ns; /* when its newest report was made, on our clock */
    struct wire_node node;
};

struct members {
    struct node_values *values;
    struct member **slots; /* pointers: a member stays where it is when the array grows */
    uint32_t slot_count; /* slots ever used */
    uint32_t slot_capacity;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t present_count;
    struct map by_address;
    uint64_t *services_known; /* every service ID ever offered */
    uint32_t services_known_count;
    uint32_t services_known_capacity;
    struct map services_index;
    struct publication *publication;
    struct retired *leaving; /* gone since the current snapshot was built: it may still show them */
    bool changed; /* membership differs from the current snapshot */
};

/* -ENOMEM. The publication is where snapshots of these members are read. */
NODISCARD int members_init(struct members *members, struct publication *publication);
void members_done(struct members *members); /* after publication_done */

/* Inserts or updates what rm says about a node at now_ns. -ENOMEM; -ENOSPC: MEMBERS_MAX reached. */
NODISCARD int members_put(struct members *members, const struct wire_node *node, uint64_t now_ns, uint32_t generation);

/* True when the node was there. */
bool members_remove(struct members *members, const struct address *address);

/* Removes all that no part of the full list `generation` has named; returns how many. */
uint32_t members_sweep(struct members *members, uint32_t generation);

/* A new snapshot of who is there. -ENOMEM. */
NODISCARD int members_snapshot(const struct members *members, struct snapshot **ret_snapshot);

/* A snapshot of who is there has become current: the slots of those who had left go back into use when no core can see them any more.
 * Not earlier: a core that enters after the retirement, but before the replacement, is given the old snapshot. */
void members_published(struct members *members);

/* NULL where no node is present in the slot. */
const struct member *members_at(const struct members *members, uint32_t slot);
