/* services - every service that a node has named, and the loads of the nodes examined for it (requirement R3).
 *
 * Loads are added up in whole millionths of a load index, so that the sums never drift, whatever comes and goes, and questions
 * such as "are all equal?" have exact answers without looking at every node.
 * Invariant: load_sum and load_square_sum are those of the members. A service stays where it is while a node names it, and is
 * forgotten when for SERVICE_KEPT_NS none has.
 * Thread: the control loop's. Memory: grows; services_done frees. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/map.h"
#include "core/wire/limits.h"
#include "rm/weights.h"

#define SERVICES_MAX 65536u
#define SERVICE_KEPT_NS UINT64_C(3600000000000)
#define SERVICE_NONE UINT32_MAX

/* An examined node that offers it: the node's services[ordinal] is this one. */
struct service_member {
    uint32_t slot;
    uint8_t ordinal;
};

struct service {
    uint64_t service_id;
    char name[SERVICE_NAME_BYTES_MAX + 1]; /* "": no REGISTER has said it yet */
    bool in_use; /* else its place is free */
    uint32_t holder_count; /* nodes whose services it is among */
    uint64_t unheld_ns; /* since when it was seen without holders; 0: it has some, or was not looked at yet */
    uint32_t free_next;
    struct service_member *members;
    uint32_t member_count;
    uint32_t member_capacity;
    uint32_t below_count; /* members marked as below average */
    uint32_t stale_next; /* in the queue of services whose marks are to be looked at again */
    bool stale;
    bool moved; /* its sums have changed since the look in progress began */
    uint32_t check_position; /* the member that the look in progress has reached */
    uint64_t checked_ns; /* when the last look at all its marks began */
    uint64_t load_sum;
    unsigned __int128 load_square_sum;
    struct weight_index weights; /* of the members */
    struct weight_index last; /* of those that expired and are still listed */
    bool reweighing; /* the look in progress looks at weights too */
};

struct services {
    struct service *item;
    uint32_t count; /* in use */
    uint32_t item_count; /* places, free ones included */
    uint32_t capacity;
    uint32_t free_head;
    uint32_t look_at; /* where services_forget_step goes on */
    struct map by_id;
    uint32_t stale_head;
    uint32_t stale_tail;
};

void services_init(struct services *services);
void services_done(struct services *services);

/* Its index; added when it is new. -ENOSPC: SERVICES_MAX. -ENOMEM. */
NODISCARD int services_put(struct services *services, uint64_t service_id, uint32_t *ret_index);

/* As services_put, and gives it its name. USHER_ENAMECOLLISION: another name has this ID. */
NODISCARD int services_put_name(struct services *services, const char *name, size_t length, uint32_t *ret_index);

/* A node names it from now on, or does so no longer. */
void services_hold(struct services *services, uint32_t index);
void services_unhold(struct services *services, uint32_t index);

/* Looks at `budget` more services, and forgets those that no node has named for SERVICE_KEPT_NS. */
void services_forget_step(struct services *services, uint64_t now_ns, uint32_t budget);

/* A load index in millionths, the unit of the sums; above 10^6 all loads count as equal. */
uint64_t load_units(float load_index);

/* ret_position: where the member stands. -ENOMEM. */
NODISCARD int service_join(struct service *service, uint32_t slot, uint8_t ordinal, uint64_t load, uint32_t *ret_position);

/* The last member takes the place of the one that leaves. Returns who moved there; slot NODE_NONE when nobody did. */
struct service_member service_leave(struct service *service, uint32_t position, uint64_t load);

void service_load_replace(struct service *service, uint64_t old_load, uint64_t new_load);

/* Whether a member with this load is below the average; all are when all loads are equal. Hence never none: if not all are
 * equal, the smallest is below the average. Exact. */
bool service_load_is_below(const struct service *service, uint64_t load);

/* Queues a service for another look at its marks; one that is queued already stays where it is. */
void services_stale_add(struct services *services, uint32_t index);
void services_stale_take_head(struct services *services);
