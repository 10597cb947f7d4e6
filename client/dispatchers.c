#include "client/dispatchers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"

void dispatchers_init(struct dispatchers *dispatchers, const struct dispatchers_config *config)
{
    CHECK(config->region_failures >= 1);
    *dispatchers = (struct dispatchers){.config = *config};
}

void dispatchers_done(struct dispatchers *dispatchers)
{
    free(dispatchers->items);
    *dispatchers = (struct dispatchers){0};
}

static struct dispatcher *dispatchers_lookup(const struct dispatchers *dispatchers, const struct address *address)
{
    for (uint32_t i = 0; i < dispatchers->count; i++)
        if (address_equal(&dispatchers->items[i].address, address))
            return &dispatchers->items[i];
    return NULL;
}

const struct dispatcher *dispatchers_find(const struct dispatchers *dispatchers, const struct address *address)
{
    return dispatchers_lookup(dispatchers, address);
}

static int dispatchers_append(struct dispatchers *dispatchers, const struct address *address, struct dispatcher **ret_dispatcher)
{
    if (dispatchers->count == DISPATCHERS_MAX)
        return -ENOSPC;
    if (dispatchers->count == dispatchers->capacity) {
        uint32_t capacity = dispatchers->capacity ? dispatchers->capacity * 2 : 8;
        struct dispatcher *items = reallocarray(dispatchers->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        dispatchers->items = items;
        dispatchers->capacity = capacity;
    }
    struct dispatcher *dispatcher = &dispatchers->items[dispatchers->count++];
    *dispatcher = (struct dispatcher){.address = *address};
    *ret_dispatcher = dispatcher;
    return 0;
}

int dispatchers_add(struct dispatchers *dispatchers, const struct address *address, uint16_t region)
{
    struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, address);
    if (!dispatcher) {
        int error = dispatchers_append(dispatchers, address, &dispatcher);
        if (error < 0)
            return error;
    }
    dispatcher->configured = true;
    if (region)
        dispatcher->region = region;
    return 0;
}

/* While the own region is not known, every dispatcher is as good as any other. */
static bool dispatchers_is_own(const struct dispatchers *dispatchers, const struct dispatcher *dispatcher)
{
    return dispatchers->own_region == 0 || dispatcher->region == dispatchers->own_region;
}

static const struct dispatchers_tried *dispatchers_find_tried(const struct dispatchers_tried *tried, uint32_t tried_count,
                                                              const struct address *address)
{
    for (uint32_t i = 0; i < tried_count; i++)
        if (address_equal(&tried[i].address, address))
            return &tried[i];
    return NULL;
}

/* One of the healthy ones that this request has not tried, each equally likely (reservoir of one). */
static const struct dispatcher *dispatchers_pick_healthy(const struct dispatchers *dispatchers,
                                                         const struct dispatchers_tried *tried, uint32_t tried_count, bool own,
                                                         struct random_state *random)
{
    const struct dispatcher *picked = NULL;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        const struct dispatcher *dispatcher = &dispatchers->items[i];
        if (dispatcher->faulty || dispatchers_is_own(dispatchers, dispatcher) != own ||
            dispatchers_find_tried(tried, tried_count, &dispatcher->address))
            continue;
        if (random_below(random, ++seen) == 0)
            picked = dispatcher;
    }
    return picked;
}

/* Which of two is the better last resort: untried before tried, own region before others, failed longer ago. */
static bool dispatchers_is_better_resort(const struct dispatchers *dispatchers, const struct dispatcher *a, bool a_tried,
                                         const struct dispatcher *b, bool b_tried)
{
    bool a_own = dispatchers_is_own(dispatchers, a), b_own = dispatchers_is_own(dispatchers, b);
    if (a_tried != b_tried)
        return b_tried;
    if (a_own != b_own)
        return a_own;
    return a->failed_at_ns < b->failed_at_ns;
}

static const struct dispatcher *dispatchers_pick_last_resort(const struct dispatchers *dispatchers,
                                                             const struct dispatchers_tried *tried, uint32_t tried_count,
                                                             bool own_allowed, bool other_allowed)
{
    const struct dispatcher *picked = NULL;
    bool picked_tried = false;
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        const struct dispatcher *dispatcher = &dispatchers->items[i];
        const struct dispatchers_tried *before = dispatchers_find_tried(tried, tried_count, &dispatcher->address);
        if (!(dispatchers_is_own(dispatchers, dispatcher) ? own_allowed : other_allowed) || (before && before->answered))
            continue;
        if (picked && !dispatchers_is_better_resort(dispatchers, dispatcher, before != NULL, picked, picked_tried))
            continue;
        picked = dispatcher;
        picked_tried = before != NULL;
    }
    return picked;
}

/* While the region's load ramps up, the share of requests it gets is the share of the ramp that has passed. */
static bool dispatchers_own_turn(struct dispatchers *dispatchers, uint64_t now_ns, struct random_state *random)
{
    if (dispatchers->region_down)
        return false;
    if (!dispatchers->ramping)
        return true;
    uint64_t passed_ns = now_ns - dispatchers->region_up_at_ns;
    if (passed_ns >= dispatchers->config.ramp_ns) {
        dispatchers->ramping = false;
        return true;
    }
    return random_unit(random) * (double)dispatchers->config.ramp_ns < (double)passed_ns;
}

int dispatchers_pick(struct dispatchers *dispatchers, const struct dispatchers_tried *tried, uint32_t tried_count,
                     bool own_allowed, bool other_allowed, uint64_t now_ns, struct random_state *random,
                     struct dispatchers_choice *ret_choice)
{
    const struct dispatcher *own = NULL, *picked = NULL;
    enum dispatchers_rank rank = DISPATCHERS_OWN;
    if (own_allowed)
        own = dispatchers_pick_healthy(dispatchers, tried, tried_count, true, random);
    if (own && dispatchers_own_turn(dispatchers, now_ns, random))
        picked = own;
    if (!picked && other_allowed) {
        picked = dispatchers_pick_healthy(dispatchers, tried, tried_count, false, random);
        rank = DISPATCHERS_OTHER;
    }
    if (!picked) {
        picked = own;
        rank = DISPATCHERS_OWN;
    }
    if (!picked) {
        picked = dispatchers_pick_last_resort(dispatchers, tried, tried_count, own_allowed, other_allowed);
        rank = DISPATCHERS_LAST_RESORT;
    }
    if (!picked)
        return USHER_EUNREACHABLE;
    *ret_choice = (struct dispatchers_choice){
        .address = picked->address,
        .rank = rank,
        .own_region = dispatchers_is_own(dispatchers, picked),
    };
    return 0;
}

/* A time near `base_ns` from now: up to a quarter later, so that many clients' probes drift apart. */
static uint64_t dispatchers_jittered(uint64_t now_ns, uint64_t base_ns, struct random_state *random)
{
    return now_ns + base_ns + (uint64_t)(random_unit(random) * (double)base_ns / 4);
}

/* How far the first probes of dispatchers spread that are suspected only because their region is down. */
#define DISPATCHERS_SUSPECT_SPREAD_NS UINT64_C(100000000)

/* While the own region is down its healthy ones are set aside too, else it would be asked and given up in turns: their probes
 * are due at once. */
static void dispatchers_suspect_own(struct dispatchers *dispatchers, uint64_t now_ns, struct random_state *random)
{
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        struct dispatcher *dispatcher = &dispatchers->items[i];
        if (dispatcher->faulty || dispatcher->region != dispatchers->own_region)
            continue;
        dispatcher->faulty = true;
        dispatcher->failed_at_ns = now_ns;
        dispatcher->probe_at_ns = now_ns + (uint64_t)(random_unit(random) * (double)DISPATCHERS_SUSPECT_SPREAD_NS);
    }
}

/* C5. */
static void dispatchers_region_lost(struct dispatchers *dispatchers, uint64_t now_ns, struct random_state *random)
{
    dispatchers->region_down = true;
    dispatchers->ramping = false;
    dispatchers->stats.region_downs++;
    dispatchers_suspect_own(dispatchers, now_ns, random);
}

static bool dispatchers_all_own_faulty(const struct dispatchers *dispatchers)
{
    for (uint32_t i = 0; i < dispatchers->count; i++)
        if (dispatchers->items[i].region == dispatchers->own_region && !dispatchers->items[i].faulty)
            return false;
    return true;
}

void dispatchers_on_failure(struct dispatchers *dispatchers, const struct address *address, uint64_t now_ns,
                            struct random_state *random)
{
    struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, address);
    if (!dispatcher)
        return;
    if (!dispatcher->faulty)
        dispatchers->stats.faults++;
    dispatcher->faulty = true;
    dispatcher->probing = false;
    dispatcher->failed_at_ns = now_ns;
    dispatcher->probe_at_ns = dispatchers_jittered(now_ns, dispatchers->config.fault_time_ns, random);

    if (dispatchers->own_region == 0 || dispatcher->region != dispatchers->own_region || dispatchers->region_down)
        return;
    if (dispatchers->failures_in_row == 0 || !address_equal(&dispatchers->last_failed, address))
        dispatchers->failures_in_row++;
    dispatchers->last_failed = *address;
    if (dispatchers->failures_in_row >= dispatchers->config.region_failures || dispatchers_all_own_faulty(dispatchers))
        dispatchers_region_lost(dispatchers, now_ns, random);
}

/* C6. The dispatchers that were set aside with the region are probed now rather than after their fault time. */
static void dispatchers_region_regained(struct dispatchers *dispatchers, uint64_t now_ns)
{
    dispatchers->region_down = false;
    dispatchers->ramping = dispatchers->config.ramp_ns > 0;
    dispatchers->region_up_at_ns = now_ns;
    dispatchers->stats.region_returns++;
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        struct dispatcher *dispatcher = &dispatchers->items[i];
        if (dispatcher->faulty && dispatcher->region == dispatchers->own_region && dispatcher->probe_at_ns > now_ns)
            dispatcher->probe_at_ns = now_ns;
    }
}

static void dispatchers_healthy(struct dispatchers *dispatchers, struct dispatcher *dispatcher, uint64_t now_ns)
{
    dispatcher->probing = false;
    if (dispatcher->faulty) {
        dispatcher->faulty = false;
        dispatchers->stats.returns++;
    }
    if (dispatchers->own_region == 0 || dispatcher->region != dispatchers->own_region)
        return;
    dispatchers->failures_in_row = 0;
    if (dispatchers->region_down)
        dispatchers_region_regained(dispatchers, now_ns);
}

void dispatchers_on_answer(struct dispatchers *dispatchers, const struct address *address, uint16_t region, uint64_t now_ns,
                           struct random_state *random)
{
    struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, address);
    if (!dispatcher)
        return;
    if (region)
        dispatcher->region = region;
    /* One that keeps its region to itself is not asked for it all the time. */
    if (dispatcher->region == 0)
        dispatcher->probe_at_ns = dispatchers_jittered(now_ns, dispatchers->config.fault_time_ns, random);
    dispatchers_healthy(dispatchers, dispatcher, now_ns);
}

bool dispatchers_is_news(const struct dispatchers *dispatchers, const struct address *address, uint32_t regions_version)
{
    /* Two dispatchers may disagree for a while; each one's list is asked for once, not at every change of mind. */
    const struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, address);
    return regions_version != 0 && regions_version != dispatchers->regions_version &&
           !(dispatcher && dispatcher->regions_version == regions_version);
}

static bool dispatchers_is_listed(const struct dispatchers_location *location, const struct address *address)
{
    for (uint32_t i = 0; i < location->listed_count; i++)
        if (address_equal(&location->listed[i].address, address))
            return true;
    return false;
}

static void dispatchers_forget_unlisted(struct dispatchers *dispatchers, const struct dispatchers_location *location,
                                        const struct address *from)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        const struct dispatcher *dispatcher = &dispatchers->items[i];
        if (dispatcher->configured || address_equal(&dispatcher->address, from) ||
            dispatchers_is_listed(location, &dispatcher->address))
            dispatchers->items[kept++] = *dispatcher;
    }
    dispatchers->count = kept;
}

/* A client in no range belongs to the region it asked (R8), so when a dispatcher of another region names its own region, that says
 * nothing: it must not keep a client whose region is down from going home. */
static void dispatchers_adopt_region(struct dispatchers *dispatchers, const struct dispatchers_location *location)
{
    uint16_t region = location->client_region;
    if (region == 0 || region == dispatchers->own_region)
        return;
    if (dispatchers->own_region != 0 && location->own_region == region)
        return;
    dispatchers->own_region = region;
    dispatchers->failures_in_row = 0;
    dispatchers->ramping = false;
    dispatchers->region_down = dispatchers_all_own_faulty(dispatchers);
}

int dispatchers_on_location(struct dispatchers *dispatchers, const struct address *from,
                            const struct dispatchers_location *location, uint64_t now_ns, struct random_state *random)
{
    int result = 0;
    for (uint32_t i = 0; i < location->listed_count; i++) {
        const struct dispatchers_listed *listed = &location->listed[i];
        struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, &listed->address);
        if (!dispatcher)
            result = dispatchers_append(dispatchers, &listed->address, &dispatcher);
        if (result < 0)
            break;
        dispatcher->region = listed->region;
    }
    if (result == 0 && location->complete && location->listed_count > 0)
        dispatchers_forget_unlisted(dispatchers, location, from);
    dispatchers_on_answer(dispatchers, from, location->own_region, now_ns, random);
    dispatchers_adopt_region(dispatchers, location);
    if (dispatchers->region_down)
        dispatchers_suspect_own(dispatchers, now_ns, random);

    struct dispatcher *sender = dispatchers_lookup(dispatchers, from);
    if (sender)
        sender->regions_version = location->regions_version;
    if (location->regions_version)
        dispatchers->regions_version = location->regions_version;
    return result;
}

static bool dispatchers_wants_probe(const struct dispatchers *dispatchers, const struct dispatcher *dispatcher)
{
    return !dispatcher->probing && (dispatcher->faulty || (dispatcher->region == 0 && dispatchers->own_region != 0));
}

bool dispatchers_probe(struct dispatchers *dispatchers, uint64_t now_ns, struct address *ret_address)
{
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        struct dispatcher *dispatcher = &dispatchers->items[i];
        if (!dispatchers_wants_probe(dispatchers, dispatcher) || dispatcher->probe_at_ns > now_ns)
            continue;
        dispatcher->probing = true;
        *ret_address = dispatcher->address;
        return true;
    }
    return false;
}

void dispatchers_probe_dropped(struct dispatchers *dispatchers, const struct address *address, uint64_t now_ns)
{
    struct dispatcher *dispatcher = dispatchers_lookup(dispatchers, address);
    if (!dispatcher)
        return;
    dispatcher->probing = false;
    dispatcher->probe_at_ns = now_ns + dispatchers->config.fault_time_ns;
}

uint64_t dispatchers_probe_at(const struct dispatchers *dispatchers)
{
    uint64_t at_ns = DISPATCHERS_NEVER;
    for (uint32_t i = 0; i < dispatchers->count; i++) {
        const struct dispatcher *dispatcher = &dispatchers->items[i];
        if (dispatchers_wants_probe(dispatchers, dispatcher) && dispatcher->probe_at_ns < at_ns)
            at_ns = dispatcher->probe_at_ns;
    }
    return at_ns;
}
