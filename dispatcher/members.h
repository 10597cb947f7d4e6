/* members - the nodes that rm has told us about: which slot each has, its values, and the snapshots built of them.
 *
 * A node's load and flags go into its values at once. Who is there and offers what is constant for a slot: a node that changes in that
 * gets another slot, as if it had left and another one had come. Who has come and who has left is noted, and the next snapshot is made of
 * the current one and these notes, in slices: the lists of the services concerned are copied without those who left and with those who
 * came, everything else is shared. So a change costs what its services' lists are long, 4 bytes a node, and not the directory.
 *
 * For the weighted policy each list has shares too, made of its nodes' weights (12 bytes a node then). Weights change with every heartbeat,
 * so a list whose nodes' weights have moved is made anew only when members_reweigh says so.
 *
 * Invariant: a slot is given to nobody until no core can see the node in it.
 * Thread: control; values are read by the cores. Memory: by slot, reserved once for MEMBERS_MAX (untouched pages cost
 * nothing): 128 bytes a node, 4 for each service it offers, its address in the index 11 to 22, and 8 bytes while it comes or goes; services
 * as offers.h says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/policy/shares.h"
#include "core/policy/snapshot.h"
#include "core/policy/values.h"
#include "dispatcher/member_index.h"
#include "dispatcher/offers.h"

#define MEMBERS_MAX SNAPSHOT_SLOTS_MAX /* rm takes no more nodes either */

/* Gets nothing new; and of these and the expired ones clients need not hear. */
#define MEMBER_FLAGS_DRAINED (WIRE_NODE_DRAINING | WIRE_NODE_ADMIN_DRAIN)
#define MEMBER_FLAGS_OUT_OF_SERVICE (MEMBER_FLAGS_DRAINED | WIRE_NODE_LAST)

enum member_state {
    MEMBER_FREE, /* the slot is nobody's */
    MEMBER_PRESENT, /* in the directory */
    MEMBER_LEFT, /* gone, but a core may still see it */
};

struct member {
    struct address address;
    uint8_t kind; /* enum wire_node_kind */
    uint8_t flags; /* within WIRE_NODE_FLAGS_OF_RM */
    uint16_t slots;
    uint32_t jobs_queued;
    uint32_t jobs_running;
    uint64_t boot_id;
    uint64_t reported_ns; /* when its newest report was made, on our clock */
    struct offer_set *services;
    uint32_t generation; /* of the full list that named it last */
    uint32_t
        link : 30; /* free: the next free slot; present: a dispatcher's place among these; left: the next of those that go together */
    uint32_t state : 2; /* enum member_state */
} ALIGN_CACHE_LINE;
_Static_assert(sizeof(struct member) == CACHE_LINE_BYTES, "what an update touches beside the values is one cache line");

#define MEMBER_LINK_NONE ((1u << 30) - 1)

/* What an old snapshot alone still needs: goes when the cores have left it. */
struct members_gone {
    struct offer_list *lists;
    uint32_t slot; /* the first; MEMBER_LINK_NONE: none */
};

enum build_phase {
    BUILD_NONE,
    BUILD_COUNT, /* who comes to which service */
    BUILD_MARK, /* who leaves which */
    BUILD_MOVED, /* whose weights have moved */
    BUILD_TABLE,
    BUILD_LISTS,
    BUILD_JOIN,
    BUILD_WEIGH,
    BUILD_PUT, /* nothing fails from here on */
    BUILD_COLLECT,
    BUILD_PHASES,
};

struct snapshot_build {
    enum build_phase phase;
    uint32_t joined_count; /* of the notes, those that it takes in */
    uint32_t left_count;
    uint32_t service_count;
    uint32_t at; /* how far the phase is */
    uint32_t copied; /* of the list in progress; of its weights, those gathered */
    bool reweighs; /* takes in the weights that have moved */
    bool sweeping; /* the weights of the list in progress are gathered */
    float *weights; /* these; NULL: not begun */
    double weight; /* their sum */
    struct shares_build shares;
    uint32_t *affected; /* services whose lists change */
    uint32_t affected_count;
    struct snapshot *snapshot;
    struct members_gone gone;
};

struct placement;

struct members {
    struct placement *placement; /* told of what it needs; NULL: nobody is */
    struct node_values *values; /* all these by slot */
    struct member *slots;
    float *weights; /* of a node's k-th service at k × MEMBERS_MAX + its slot; 0 while nothing is to go there */
    uint64_t *leaving; /* a bit for each slot; set during a build */
    _Atomic bool restored; /* what stands here is from the file of the last run: rm has not spoken since. Read by every core */
    uint64_t drains; /* times that a node was drained or taken back into service */
    uint32_t slot_count; /* slots ever used */
    uint32_t free_slot; /* the first; MEMBER_LINK_NONE */
    uint32_t present_count;
    uint32_t named_count; /* members that have the newest generation */
    uint32_t generation; /* the newest */
    struct member_index by_address;
    struct offers offers;
    uint32_t *dispatchers; /* slots */
    uint32_t dispatcher_count;
    uint32_t dispatcher_capacity;
    uint32_t *joined; /* slots: who came, and who left, since the current snapshot, or the one being built, was begun */
    uint32_t *left;
    uint32_t joined_count;
    uint32_t left_count;
    struct snapshot_build build;
    bool dispatchers_changed; /* those in service: for the location */
    bool weighted; /* lists get shares */
    bool reweigh; /* the next build takes in the weights that have moved */
};

/* -ENOMEM. */
NODISCARD int members_init(struct members *members);
void members_done(struct members *members); /* after every snapshot's members_reclaim */

/* What one entry of a frame says, on its way: call these for some entries together, so that their memory is waited for together. */
struct member_news {
    struct node_entry entry;
    struct address address;
    uint32_t hash;
};

void members_expect(const struct members *members, struct node_entry entry, struct member_news *ret_news);
void members_prefetch(const struct members *members, const struct member_news *news);

/* Inserts or updates what rm says about a node at now_ns. -ENOMEM; -ENOSPC: MEMBERS_MAX or OFFERS_SERVICES_MAX reached. */
NODISCARD int members_put(struct members *members, const struct member_news *news, uint64_t now_ns);

/* The node's slot, or MEMBER_NONE. */
uint32_t members_find(const struct members *members, const struct address *address);

/* True when the node was there. */
bool members_remove(struct members *members, const struct address *address);

/* A full list begins; at its end all that it has not named are removed, and their number is returned. */
void members_list_begin(struct members *members);
uint32_t members_list_end(struct members *members);

/* Whether the snapshots built from now on shall have shares. At first they have none. */
void members_set_weighted(struct members *members, bool weighted);

/* Weights differ from the shares in the current snapshot. */
bool members_weights_moved(const struct members *members);

/* The next snapshot takes them in, if the build of one is not running. */
void members_reweigh(struct members *members);

/* What the node in the slot weighs for its services[ordinal]. */
static inline float *members_weight_at(const struct members *members, uint32_t slot, uint32_t ordinal)
{
    return &members->weights[(size_t)ordinal * MEMBERS_MAX + slot];
}

/* A snapshot of who is there would differ from the current one, or is being built. */
bool members_changed(const struct members *members);

/* Goes on building, for about a nanosecond for each of *work, which is counted down. 0 and the next snapshot, which goes with
 * *ret_gone; it must become current. -EAGAIN: not ready. -ENOMEM: given up, to be begun anew. `current`: the one before. */
NODISCARD int members_build(struct members *members, const struct snapshot *current, int64_t *work,
                            struct snapshot **ret_snapshot, struct members_gone *ret_gone);

/* Gives up the build that is running, if there is one; all is noted still. */
void members_build_abandon(struct members *members);

/* The cores have left the snapshot that was replaced by the one that came with `gone`. */
void members_reclaim(struct members *members, struct members_gone *gone);

/* NULL where no node is present in the slot. */
const struct member *members_at(const struct members *members, uint32_t slot);
