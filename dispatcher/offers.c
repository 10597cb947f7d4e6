#include "dispatcher/offers.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/hash.h"

#define BUCKETS_FIRST 16u
#define SERVICES_FIRST 16u

void offers_init(struct offers *offers)
{
    *offers = (struct offers){.services = NULL};
    map_init(&offers->by_id, sizeof(uint64_t));
}

void offers_done(struct offers *offers)
{
    for (uint32_t i = 0; i < offers->bucket_count; i++) {
        while (offers->buckets[i]) {
            struct offer_set *set = offers->buckets[i];
            offers->buckets[i] = set->next;
            free(set);
        }
    }
    for (uint32_t i = 0; i < offers->service_count; i++)
        free(offers->services[i].list);
    free(offers->buckets);
    free(offers->services);
    map_done(&offers->by_id);
}

/* ---- services ---- */

static int services_reserve(struct offers *offers)
{
    if (offers->service_count < offers->service_capacity)
        return 0;
    uint32_t capacity = offers->service_capacity ? offers->service_capacity * 2 : SERVICES_FIRST;
    struct offered_service *services = realloc(offers->services, capacity * sizeof(*services));
    if (!services)
        return -ENOMEM;
    offers->services = services;
    offers->service_capacity = capacity;
    return 0;
}

/* The number of a service that nobody offers and no snapshot needs; it is not known any more. */
static int service_forget(struct offers *offers, uint32_t *ret_service)
{
    for (uint32_t i = 0; !offers->building && i < offers->service_count; i++) {
        uint32_t number = offers->forget_next++ % offers->service_count;
        struct offered_service *service = &offers->services[number];
        if (service->set_count > 0 || service->list)
            continue;
        (void)map_remove(&offers->by_id, &service->id);
        offers_weights_moved(offers, number, false);
        offers->forgotten = true;
        *ret_service = number;
        return 0;
    }
    return -ENOSPC;
}

static int service_add(struct offers *offers, uint64_t id, uint32_t *ret_service)
{
    uint32_t number = offers->service_count;
    int error = number < OFFERS_SERVICES_MAX ? services_reserve(offers) : service_forget(offers, &number);
    if (error == 0)
        error = map_put(&offers->by_id, &id, number);
    if (error < 0)
        return error;
    offers->services[number] = (struct offered_service){.id = id};
    offers->service_count += number == offers->service_count;
    *ret_service = number;
    return 0;
}

void offers_weights_moved(struct offers *offers, uint32_t service, bool moved)
{
    struct offered_service *offered = &offers->services[service];
    offers->moved_count += (uint32_t)moved - (uint32_t)offered->weights_moved;
    offered->weights_moved = moved;
}

static int service_number(struct offers *offers, uint64_t id, uint32_t *ret_service)
{
    uint32_t number = map_get(&offers->by_id, &id);
    if (number == MAP_NONE)
        return service_add(offers, id, ret_service);
    *ret_service = number;
    return 0;
}

/* ---- sets ---- */

static uint64_t entry_hash(struct node_entry entry)
{
    uint64_t hash = node_entry_service_count(entry);
    for (uint32_t i = 0; i < node_entry_service_count(entry); i++)
        hash = hash_mix(hash ^ node_entry_service_id(entry, i));
    return hash;
}

static int buckets_grow(struct offers *offers)
{
    uint32_t count = offers->bucket_count ? offers->bucket_count * 2 : BUCKETS_FIRST;
    struct offer_set **buckets = calloc(count, sizeof(struct offer_set *));
    if (!buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < offers->bucket_count; i++) {
        while (offers->buckets[i]) {
            struct offer_set *set = offers->buckets[i];
            offers->buckets[i] = set->next;
            set->next = buckets[set->hash & (count - 1)];
            buckets[set->hash & (count - 1)] = set;
        }
    }
    free(offers->buckets);
    offers->buckets = buckets;
    offers->bucket_count = count;
    return 0;
}

static int set_add(struct offers *offers, struct node_entry entry, uint64_t hash, struct offer_set **ret_set)
{
    uint32_t count = node_entry_service_count(entry);
    struct offer_set *set = calloc(1, sizeof(*set) + count * sizeof(set->items[0]));
    int error = set ? 0 : -ENOMEM;
    if (error == 0 && offers->set_count >= offers->bucket_count)
        error = buckets_grow(offers);
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        set->items[i].id = node_entry_service_id(entry, i);
        error = service_number(offers, set->items[i].id, &set->items[i].service);
        if (error < 0)
            break;
        /* Counted at once, so that a later one of this set is not given its number. */
        offers->services[set->items[i].service].set_count++;
        set->count++;
    }
    if (error < 0) {
        for (uint32_t i = 0; set && i < set->count; i++)
            offers->services[set->items[i].service].set_count--;
        free(set);
        return error;
    }
    set->hash = hash;
    set->reference_count = 1;
    set->next = offers->buckets[hash & (offers->bucket_count - 1)];
    offers->buckets[hash & (offers->bucket_count - 1)] = set;
    offers->set_count++;
    *ret_set = set;
    return 0;
}

int offers_take(struct offers *offers, struct node_entry entry, struct offer_set **ret_set)
{
    uint64_t hash = entry_hash(entry);
    struct offer_set *set = offers->bucket_count ? offers->buckets[hash & (offers->bucket_count - 1)] : NULL;
    while (set && (set->hash != hash || !offer_set_matches(set, entry)))
        set = set->next;
    if (!set)
        return set_add(offers, entry, hash, ret_set);
    set->reference_count++;
    *ret_set = set;
    return 0;
}

void offers_release(struct offers *offers, struct offer_set *set)
{
    if (--set->reference_count > 0)
        return;
    struct offer_set **link = &offers->buckets[set->hash & (offers->bucket_count - 1)];
    while (*link != set)
        link = &(*link)->next;
    *link = set->next;
    for (uint32_t i = 0; i < set->count; i++)
        offers->services[set->items[i].service].set_count--;
    offers->set_count--;
    free(set);
}

bool offer_set_has(const struct offer_set *set, uint64_t service_id)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].id == service_id)
            return true;
    return false;
}
