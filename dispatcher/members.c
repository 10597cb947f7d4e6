#include "dispatcher/members.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "dispatcher/placement.h"

/* The same report told twice seems to differ by how long each message took; reports of one node are at least this far apart. */
#define SAME_REPORT_NS (5 * NS_PER_MS)

#define LEAVING_BYTES (MEMBERS_MAX / 8u)
#define WEIGHTS_BYTES (sizeof(float) * MEMBERS_MAX * NODE_SERVICES_MAX)
#define DISPATCHERS_FIRST 16u

/* Zeroed memory that takes up what is touched of it; NULL. */
static void *slots_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void slots_unmap(void *memory, size_t bytes)
{
    if (memory)
        (void)munmap(memory, bytes);
}

int members_init(struct members *members)
{
    *members = (struct members){.free_slot = MEMBER_LINK_NONE, .generation = 1};
    offers_init(&members->offers);
    members->values = slots_map(MEMBERS_MAX * sizeof(*members->values));
    members->slots = slots_map(MEMBERS_MAX * sizeof(*members->slots));
    members->joined = slots_map(MEMBERS_MAX * sizeof(*members->joined));
    members->left = slots_map(MEMBERS_MAX * sizeof(*members->left));
    members->leaving = slots_map(LEAVING_BYTES);
    members->weights = slots_map(WEIGHTS_BYTES);
    members->by_address.members = members->slots;
    if (members->values && members->slots && members->joined && members->left && members->leaving && members->weights)
        return 0;
    members_done(members);
    return -ENOMEM;
}

void members_done(struct members *members)
{
    members_build_abandon(members);
    offers_done(&members->offers);
    member_index_done(&members->by_address);
    free(members->dispatchers);
    slots_unmap(members->values, MEMBERS_MAX * sizeof(*members->values));
    slots_unmap(members->slots, MEMBERS_MAX * sizeof(*members->slots));
    slots_unmap(members->joined, MEMBERS_MAX * sizeof(*members->joined));
    slots_unmap(members->left, MEMBERS_MAX * sizeof(*members->left));
    slots_unmap(members->leaving, LEAVING_BYTES);
    slots_unmap(members->weights, WEIGHTS_BYTES);
}

/* ---- what a report changes in place ---- */

static uint32_t value_flags(uint8_t kind, uint8_t node_flags)
{
    uint32_t flags = 0;
    if (node_flags & WIRE_NODE_LAST)
        flags |= NODE_VALUE_LAST;
    if (node_flags & MEMBER_FLAGS_DRAINED)
        flags |= NODE_VALUE_DRAIN;
    if (kind == WIRE_NODE_DISPATCHER)
        flags |= NODE_VALUE_DISPATCHER;
    if (node_flags & WIRE_NODE_NO_ECHO)
        flags |= NODE_VALUE_NO_ECHO;
    return flags;
}

static uint32_t below_mask(struct node_entry entry)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < node_entry_service_count(entry); i++)
        mask |= (uint32_t)node_entry_below_average(entry, i) << i;
    return mask;
}

static void values_update(struct members *members, uint32_t slot, struct node_entry entry, uint64_t now_ns)
{
    struct node_values *values = &members->values[slot];
    struct member *member = &members->slots[slot];
    uint64_t age_ns = (uint64_t)bytes_load_u32(entry.bytes + NODE_ENTRY_AGE) * NS_PER_MS;
    uint64_t reported_ns = now_ns > age_ns ? now_ns - age_ns : 0;
    uint64_t boot_id = bytes_load_u64(entry.bytes + NODE_ENTRY_BOOT_ID);
    struct node_report report = {
        .flags = value_flags(member->kind, node_entry_flags(entry)),
        .below_mask = below_mask(entry),
        .load_index = node_entry_f32(entry, NODE_ENTRY_LOAD_INDEX),
        .load_per_job = node_entry_f32(entry, NODE_ENTRY_LOAD_PER_JOB),
    };
    if (member->boot_id != boot_id || reported_ns > member->reported_ns + SAME_REPORT_NS) {
        node_values_apply(values, &report);
        placement_report(members->placement, slot, entry, now_ns - reported_ns, now_ns);
        member->boot_id = boot_id;
        member->reported_ns = reported_ns;
        return;
    }
    /* Nothing new from the node itself, but rm's judgement of it may have changed. */
    atomic_store_explicit(&values->flags, (uint16_t)report.flags, memory_order_relaxed);
    atomic_store_explicit(&values->below_mask, (uint16_t)report.below_mask, memory_order_relaxed);
}

/* Who is out of service weighs nothing, so that no draws are lost on it. */
static void weights_update(struct members *members, uint32_t slot, struct node_entry entry)
{
    const struct member *member = &members->slots[slot];
    bool out = (member->flags & MEMBER_FLAGS_OUT_OF_SERVICE) != 0;
    for (uint32_t i = 0; i < member->services->count; i++) {
        float weight = out ? 0 : node_entry_weight(entry, i);
        float *at = members_weight_at(members, slot, i);
        if (*at == weight)
            continue;
        *at = weight;
        if (members->weighted)
            offers_weights_moved(&members->offers, member->services->items[i].service, true);
    }
}

static void member_update(struct members *members, uint32_t slot, struct node_entry entry, uint64_t now_ns)
{
    struct member *member = &members->slots[slot];
    uint8_t flags = node_entry_flags(entry);
    if (member->kind == WIRE_NODE_DISPATCHER && ((member->flags ^ flags) & MEMBER_FLAGS_OUT_OF_SERVICE))
        members->dispatchers_changed = true;
    values_update(members, slot, entry, now_ns);
    members->drains += ((member->flags ^ flags) & MEMBER_FLAGS_DRAINED) != 0;
    member->flags = flags;
    weights_update(members, slot, entry);
    member->slots = bytes_load_u16(entry.bytes + NODE_ENTRY_SLOTS);
    member->jobs_queued = bytes_load_u32(entry.bytes + NODE_ENTRY_JOBS_QUEUED);
    member->jobs_running = bytes_load_u32(entry.bytes + NODE_ENTRY_JOBS_RUNNING);
    members->named_count += member->generation != members->generation;
    member->generation = members->generation;
}

/* ---- who comes and who leaves ---- */

static int dispatchers_reserve(struct members *members)
{
    if (members->dispatcher_count < members->dispatcher_capacity)
        return 0;
    uint32_t capacity = members->dispatcher_capacity ? members->dispatcher_capacity * 2 : DISPATCHERS_FIRST;
    uint32_t *dispatchers = realloc(members->dispatchers, capacity * sizeof(*dispatchers));
    if (!dispatchers)
        return -ENOMEM;
    members->dispatchers = dispatchers;
    members->dispatcher_capacity = capacity;
    return 0;
}

static uint32_t slot_take(struct members *members)
{
    uint32_t slot = members->free_slot;
    if (slot == MEMBER_LINK_NONE)
        return members->slot_count++;
    members->free_slot = members->slots[slot].link;
    return slot;
}

static void slot_free(struct members *members, uint32_t slot)
{
    members->slots[slot].state = MEMBER_FREE;
    members->slots[slot].link = members->free_slot & MEMBER_LINK_NONE;
    members->free_slot = slot;
}

/* Takes the set. The slot is in no snapshot, so everything in it may be written. */
static void member_join(struct members *members, uint32_t slot, const struct member_news *news, struct offer_set *set)
{
    struct member *member = &members->slots[slot];
    *member = (struct member){
        .address = news->address,
        .kind = node_entry_kind(news->entry),
        .flags = node_entry_flags(news->entry),
        .services = set,
        .state = MEMBER_PRESENT,
    };
    if (member->kind == WIRE_NODE_DISPATCHER) {
        member->link = members->dispatcher_count & MEMBER_LINK_NONE;
        members->dispatchers[members->dispatcher_count++] = slot;
        members->dispatchers_changed = true;
    }
    node_values_reset(&members->values[slot], &news->address);
    members->joined[members->joined_count++] = slot;
    members->present_count++;
}

/* All but the index, which may have another slot for the address by now. */
static void member_leave(struct members *members, uint32_t slot)
{
    struct member *member = &members->slots[slot];
    if (member->kind == WIRE_NODE_DISPATCHER) {
        uint32_t last = members->dispatchers[--members->dispatcher_count];
        members->dispatchers[member->link] = last;
        members->slots[last].link = member->link;
        members->dispatchers_changed = true;
    }
    node_values_leave(&members->values[slot]);
    members->named_count -= member->generation == members->generation;
    member->state = MEMBER_LEFT;
    members->left[members->left_count++] = slot;
    members->present_count--;
}

/* What it was told of before, and what was sent there since. */
static void member_inherit(struct members *members, uint32_t slot, uint32_t before)
{
    members->slots[slot].boot_id = members->slots[before].boot_id;
    members->slots[slot].reported_ns = members->slots[before].reported_ns;
    node_values_copy(&members->values[slot], &members->values[before]);
    /* A service may stand at another place than before. */
    const struct offer_set *now = members->slots[slot].services, *then = members->slots[before].services;
    for (uint32_t i = 0; i < VALUES_SERVICES_MAX; i++) {
        uint8_t code = 0;
        for (uint32_t j = 0; i < now->count && j < then->count; j++)
            if (now->items[i].id == then->items[j].id)
                code = atomic_load_explicit(&members->values[before].job_codes[j], memory_order_relaxed);
        atomic_store_explicit(&members->values[slot].job_codes[i], code, memory_order_relaxed);
    }
}

/* A new member, or one that is not what it was: `before` is its slot so far. */
static __attribute__((noinline, cold)) int member_replace(struct members *members, const struct member_news *news,
                                                          uint32_t before, uint64_t now_ns)
{
    struct offer_set *set;
    if (members->free_slot == MEMBER_LINK_NONE && members->slot_count == MEMBERS_MAX)
        return -ENOSPC;
    int error = dispatchers_reserve(members);
    if (error == 0)
        error = offers_take(&members->offers, news->entry, &set);
    if (error < 0)
        return error;
    uint32_t slot = slot_take(members);
    members->slots[slot].address = news->address;
    error = member_index_put(&members->by_address, &news->address, news->hash, slot);
    if (error < 0) {
        slot_free(members, slot);
        offers_release(&members->offers, set);
        return error;
    }
    member_join(members, slot, news, set);
    placement_join(members->placement, slot, before);
    if (before != MEMBER_NONE) {
        member_inherit(members, slot, before);
        member_leave(members, before);
    }
    member_update(members, slot, news->entry, now_ns);
    return 0;
}

/* Whether nothing has changed of what is constant for a slot. */
static bool member_is_same(const struct member *member, struct node_entry entry)
{
    return member->kind == node_entry_kind(entry) && ((member->flags ^ node_entry_flags(entry)) & WIRE_NODE_NO_JOBS) == 0 &&
           offer_set_matches(member->services, entry);
}

void members_expect(const struct members *members, struct node_entry entry, struct member_news *ret_news)
{
    ret_news->entry = entry;
    ret_news->address = node_entry_address(entry);
    ret_news->hash = member_index_hash(&ret_news->address);
    member_index_prefetch(&members->by_address, ret_news->hash);
}

void members_prefetch(const struct members *members, const struct member_news *news)
{
    uint32_t slot = member_index_guess(&members->by_address, news->hash);
    if (slot == MEMBER_NONE)
        return;
    __builtin_prefetch(&members->slots[slot], 1);
    __builtin_prefetch(&members->values[slot], 1);
    __builtin_prefetch(members_weight_at(members, slot, 0), 1);
}

int members_put(struct members *members, const struct member_news *news, uint64_t now_ns)
{
    uint32_t slot = member_index_find(&members->by_address, &news->address, news->hash);
    if (UNLIKELY(slot == MEMBER_NONE || !member_is_same(&members->slots[slot], news->entry)))
        return member_replace(members, news, slot, now_ns);
    member_update(members, slot, news->entry, now_ns);
    return 0;
}

uint32_t members_find(const struct members *members, const struct address *address)
{
    return member_index_find(&members->by_address, address, member_index_hash(address));
}

bool members_remove(struct members *members, const struct address *address)
{
    uint32_t slot = members_find(members, address);
    if (slot == MEMBER_NONE)
        return false;
    placement_leave(members->placement, slot);
    member_index_remove(&members->by_address, address, member_index_hash(address));
    member_leave(members, slot);
    return true;
}

void members_list_begin(struct members *members)
{
    members->generation++;
    members->named_count = 0;
}

uint32_t members_list_end(struct members *members)
{
    uint32_t removed = 0;
    for (uint32_t slot = 0; members->named_count < members->present_count; slot++) {
        const struct member *member = members_at(members, slot);
        if (!member || member->generation == members->generation)
            continue;
        CHECK(members_remove(members, &member->address));
        removed++;
    }
    return removed;
}

void members_set_weighted(struct members *members, bool weighted)
{
    if (members->weighted == weighted)
        return;
    members->weighted = weighted;
    for (uint32_t i = 0; i < members->offers.service_count; i++)
        offers_weights_moved(&members->offers, i, weighted);
}

bool members_weights_moved(const struct members *members)
{
    return members->offers.moved_count > 0;
}

void members_reweigh(struct members *members)
{
    members->reweigh = true;
}

const struct member *members_at(const struct members *members, uint32_t slot)
{
    bool present = slot < members->slot_count && members->slots[slot].state == MEMBER_PRESENT;
    return present ? &members->slots[slot] : NULL;
}

void members_reclaim(struct members *members, struct members_gone *gone)
{
    while (gone->lists) {
        struct offer_list *list = gone->lists;
        gone->lists = list->next;
        free(list);
    }
    while (gone->slot != MEMBER_LINK_NONE) {
        uint32_t slot = gone->slot;
        gone->slot = members->slots[slot].link;
        offers_release(&members->offers, members->slots[slot].services);
        slot_free(members, slot);
    }
}
