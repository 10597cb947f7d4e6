/* offers - which services there are, which of them a node offers, and who offers each.
 *
 * Nodes that offer the same services in the same order share one set: thousands of nodes have a handful of sets. A service that was
 * once offered stays known, so that "unknown service" and "no node right now" are told apart; when OFFERS_SERVICES_MAX are known, one
 * that nobody offers is forgotten for a new one.
 * Invariant: a service's list is the one in the current snapshot, and is never changed: the next snapshot gets another one.
 * Thread: control; the lists' members and shares are read by the cores. Memory: 32 bytes and 16 a service for each set, 48 and its list for
 * each service; all allocated as needed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/map.h"
#include "core/policy/snapshot.h"
#include "core/wire/node_entry.h"

#define OFFERS_SERVICES_MAX (1u << 16) /* as many as an rm has at most */

struct offer_list {
    struct offer_list *next; /* of those that are replaced together */
    uint32_t count;
    struct snapshot_share *shares; /* NULL, or behind the members: as many */
    struct snapshot_member members[];
};

struct offered_service {
    uint64_t id;
    struct offer_list *list; /* in the current snapshot; NULL: nobody offers it */
    struct offer_list *fresh; /* of the snapshot that is being built */
    uint32_t set_count; /* sets that name it */
    uint32_t joining; /* how many the snapshot that is being built adds at most */
    bool affected; /* that snapshot needs another list */
    bool weights_moved; /* the list's shares are not what its nodes' weights are */
};

struct offer_set {
    struct offer_set *next; /* in its bucket */
    uint64_t hash;
    uint32_t reference_count; /* members */
    uint32_t count;
    struct {
        uint64_t id;
        uint32_t service;
    } items[];
};

struct offers {
    struct offered_service *services;
    uint32_t service_count;
    uint32_t service_capacity;
    uint32_t forget_next; /* where to look for a service to forget */
    struct map by_id;
    struct offer_set **buckets; /* as many as a power of two */
    uint32_t bucket_count;
    uint32_t set_count;
    uint32_t tabled_count; /* services in the current snapshot's table */
    bool forgotten; /* that table names one that is not known any more */
    bool building; /* a snapshot is: services keep their numbers */
    uint32_t moved_count; /* services whose weights have moved */
};

void offers_init(struct offers *offers);
void offers_done(struct offers *offers);

/* The set of what the node offers, with one reference more. -ENOMEM; -ENOSPC: too many services. */
NODISCARD int offers_take(struct offers *offers, struct node_entry entry, struct offer_set **ret_set);
void offers_release(struct offers *offers, struct offer_set *set);

/* Notes that the service's shares are to be made anew, or have been. */
void offers_weights_moved(struct offers *offers, uint32_t service, bool moved);

/* Whether a node offers just these services, in this order. */
static inline bool offer_set_matches(const struct offer_set *set, struct node_entry entry)
{
    if (set->count != node_entry_service_count(entry))
        return false;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].id != node_entry_service_id(entry, i))
            return false;
    return true;
}

bool offer_set_has(const struct offer_set *set, uint64_t service_id);
