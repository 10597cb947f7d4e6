#include "dispatcher/members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/check.h"
#include "core/base/clock.h"

#define VALUES_BYTES ((size_t)MEMBERS_MAX * sizeof(struct node_values))

/* The same report told twice seems to differ by how long each message took; reports of one node are at least this far apart. */
#define SAME_REPORT_NS (5 * NS_PER_MS)

int members_init(struct members *members, struct publication *publication)
{
    *members = (struct members){.publication = publication};
    map_init(&members->by_address, sizeof(struct address));
    map_init(&members->services_index, sizeof(uint64_t));
    members->values = mmap(NULL, VALUES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return members->values == MAP_FAILED ? -ENOMEM : 0;
}

void members_done(struct members *members)
{
    for (uint32_t i = 0; i < members->slot_count; i++)
        free(members->slots[i]);
    free(members->slots);
    free(members->free_slots);
    free(members->services_known);
    map_done(&members->by_address);
    map_done(&members->services_index);
    munmap(members->values, VALUES_BYTES);
}

/* Room for one more slot, in both arrays: freeing a slot must not fail. */
static int slots_reserve(struct members *members)
{
    if (members->slot_count < members->slot_capacity)
        return 0;
    if (members->slot_count == MEMBERS_MAX)
        return -ENOSPC;
    uint32_t capacity = members->slot_capacity ? members->slot_capacity * 2 : 64;
    struct member **slots = realloc(members->slots, capacity * sizeof(struct member *));
    if (!slots)
        return -ENOMEM;
    members->slots = slots;
    uint32_t *free_slots = realloc(members->free_slots, capacity * sizeof(uint32_t));
    if (!free_slots)
        return -ENOMEM;
    members->free_slots = free_slots;
    members->slot_capacity = capacity;
    return 0;
}

static int slot_take(struct members *members, uint32_t *ret_slot)
{
    if (members->free_count) {
        *ret_slot = members->free_slots[--members->free_count];
        return 0;
    }
    int error = slots_reserve(members);
    if (error < 0)
        return error;
    struct member *member = calloc(1, sizeof(*member));
    if (!member)
        return -ENOMEM;
    member->owner = members;
    member->slot = members->slot_count;
    members->slots[members->slot_count] = member;
    *ret_slot = members->slot_count++;
    return 0;
}

static int service_learn(struct members *members, uint64_t service_id)
{
    if (map_get(&members->services_index, &service_id) != MAP_NONE || members->services_known_count == MEMBER_SERVICES_KNOWN_MAX)
        return 0;
    if (members->services_known_count == members->services_known_capacity) {
        uint32_t capacity = members->services_known_capacity ? members->services_known_capacity * 2 : 16;
        uint64_t *known = realloc(members->services_known, capacity * sizeof(uint64_t));
        if (!known)
            return -ENOMEM;
        members->services_known = known;
        members->services_known_capacity = capacity;
    }
    int error = map_put(&members->services_index, &service_id, members->services_known_count);
    if (error < 0)
        return error;
    members->services_known[members->services_known_count++] = service_id;
    return 0;
}

static int services_learn(struct members *members, const struct wire_node *node)
{
    int error = 0;
    for (uint32_t i = 0; i < node->service_count && error == 0; i++)
        error = service_learn(members, node->services[i].service_id);
    return error;
}

/* Whether the view must be built anew: not for what lives in the values, except that clients are told of dispatchers that serve. */
static bool membership_differs(const struct wire_node *before, const struct wire_node *after)
{
    uint8_t lasting = WIRE_NODE_NO_JOBS;
    if (after->kind == WIRE_NODE_DISPATCHER)
        lasting |= MEMBER_FLAGS_OUT_OF_SERVICE;
    if (before->kind != after->kind || ((before->flags ^ after->flags) & lasting) ||
        before->service_count != after->service_count)
        return true;
    for (uint32_t i = 0; i < after->service_count; i++)
        if (before->services[i].service_id != after->services[i].service_id)
            return true;
    return false;
}

static uint32_t value_flags(const struct wire_node *node)
{
    uint32_t flags = 0;
    if (node->flags & WIRE_NODE_LAST)
        flags |= NODE_VALUE_LAST;
    if (node->flags & MEMBER_FLAGS_DRAINED)
        flags |= NODE_VALUE_DRAIN;
    if (node->kind == WIRE_NODE_DISPATCHER)
        flags |= NODE_VALUE_DISPATCHER;
    if (node->flags & WIRE_NODE_NO_ECHO)
        flags |= NODE_VALUE_NO_ECHO;
    return flags;
}

static uint32_t below_mask(const struct wire_node *node)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < node->service_count; i++)
        if (node->services[i].flags & WIRE_SERVICE_BELOW_AVERAGE)
            mask |= 1u << i;
    return mask;
}

static void values_update(struct members *members, uint32_t slot, const struct wire_node *node, uint64_t now_ns)
{
    struct member *member = members->slots[slot];
    struct node_values *values = &members->values[slot];
    uint64_t age_ns = (uint64_t)node->age_ms * NS_PER_MS;
    uint64_t reported_ns = now_ns > age_ns ? now_ns - age_ns : 0;
    struct node_report report = {
        .flags = value_flags(node),
        .below_mask = below_mask(node),
        .load_index = node->load_index,
        .load_per_job = node->load_per_job,
    };
    if (member->node.boot_id != node->boot_id || reported_ns > member->reported_ns + SAME_REPORT_NS) {
        node_values_apply(values, &report);
        member->reported_ns = reported_ns;
        return;
    }
    /* Nothing new from the node itself, but rm's judgement of it may have changed. */
    atomic_store_explicit(&values->flags, report.flags, memory_order_relaxed);
    atomic_store_explicit(&values->below_mask, report.below_mask, memory_order_relaxed);
}

static int member_insert(struct members *members, const struct wire_node *node, uint32_t *ret_slot)
{
    uint32_t slot;
    int error = slot_take(members, &slot);
    if (error < 0)
        return error;
    error = map_put(&members->by_address, &node->address, slot);
    if (error < 0) {
        members->free_slots[members->free_count++] = slot;
        return error;
    }
    struct member *member = members->slots[slot];
    member->state = MEMBER_PRESENT;
    member->reported_ns = 0;
    member->node = (struct wire_node){.address = node->address};
    memset(&members->values[slot], 0, sizeof(members->values[slot]));
    members->values[slot].address = node->address;
    members->present_count++;
    *ret_slot = slot;
    return 0;
}

int members_put(struct members *members, const struct wire_node *node, uint64_t now_ns, uint32_t generation)
{
    uint32_t slot = map_get(&members->by_address, &node->address);
    int error = services_learn(members, node);
    if (error == 0 && slot == MAP_NONE)
        error = member_insert(members, node, &slot);
    if (error < 0)
        return error;
    struct member *member = members->slots[slot];
    members->changed |= membership_differs(&member->node, node);
    values_update(members, slot, node, now_ns);
    member->node = *node;
    member->generation = generation;
    return 0;
}

static void member_release(struct retired *retired)
{
    struct member *member = (struct member *)(void *)retired;
    struct members *members = member->owner;
    member->state = MEMBER_FREE;
    members->free_slots[members->free_count++] = member->slot;
}

static void member_leave(struct members *members, struct member *member)
{
    CHECK(map_remove(&members->by_address, &member->node.address));
    member->state = MEMBER_RETIRED;
    member->retired.next = members->leaving;
    members->leaving = &member->retired;
    members->present_count--;
    members->changed = true;
}

void members_published(struct members *members)
{
    while (members->leaving) {
        struct retired *retired = members->leaving;
        members->leaving = retired->next;
        publication_retire(members->publication, retired, member_release);
    }
    members->changed = false;
}

bool members_remove(struct members *members, const struct address *address)
{
    uint32_t slot = map_get(&members->by_address, address);
    if (slot == MAP_NONE)
        return false;
    member_leave(members, members->slots[slot]);
    return true;
}

uint32_t members_sweep(struct members *members, uint32_t generation)
{
    uint32_t removed = 0;
    for (uint32_t slot = 0; slot < members->slot_count; slot++) {
        struct member *member = members->slots[slot];
        if (member->state != MEMBER_PRESENT || member->generation == generation)
            continue;
        member_leave(members, member);
        removed++;
    }
    return removed;
}

static void offers_of_member(const struct member *member, uint32_t slot, struct snapshot_offer *offers, uint32_t *offer_count)
{
    if (member->node.flags & WIRE_NODE_NO_JOBS)
        return;
    for (uint32_t i = 0; i < member->node.service_count; i++)
        offers[(*offer_count)++] = (struct snapshot_offer){
            .service_id = member->node.services[i].service_id,
            .slot = slot,
            .service_ordinal = (uint8_t)i,
        };
}

int members_snapshot(const struct members *members, struct snapshot **ret_snapshot)
{
    uint32_t offer_count = 0;
    size_t offers_max = members->services_known_count + (size_t)members->present_count * NODE_SERVICES_MAX;
    struct snapshot_offer *offers = calloc(offers_max + 1, sizeof(*offers));
    if (!offers)
        return -ENOMEM;
    for (uint32_t i = 0; i < members->services_known_count; i++)
        offers[offer_count++] = (struct snapshot_offer){.service_id = members->services_known[i], .slot = UINT32_MAX};
    for (uint32_t slot = 0; slot < members->slot_count; slot++) {
        const struct member *member = members_at(members, slot);
        if (member)
            offers_of_member(member, slot, offers, &offer_count);
    }
    int error = snapshot_new(members->slot_count, offers, offer_count, ret_snapshot);
    free(offers);
    return error;
}

const struct member *members_at(const struct members *members, uint32_t slot)
{
    const struct member *member = slot < members->slot_count ? members->slots[slot] : NULL;
    return member && member->state == MEMBER_PRESENT ? member : NULL;
}
