#include "core/policy/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a service that nobody offers points to: it is known, so its cell is not empty. */
static const struct snapshot_member nobody;

static int offer_compare(const void *left, const void *right)
{
    const struct snapshot_offer *a = left;
    const struct snapshot_offer *b = right;
    if (a->service_id != b->service_id)
        return a->service_id < b->service_id ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static uint32_t services_count(const struct snapshot_offer *offers, uint32_t offer_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < offer_count; i++)
        count += i == 0 || offers[i].service_id != offers[i - 1].service_id;
    return count;
}

/* Half full at most: a miss ends after a cell or two. */
static uint32_t service_cells(uint32_t service_count)
{
    uint32_t cells = 2;
    while (cells < service_count * 2)
        cells *= 2;
    return cells;
}

static size_t table_bytes(uint32_t cells)
{
    return sizeof(struct snapshot) + cells * sizeof(struct snapshot_service);
}

static void cells_set(struct snapshot *snapshot, uint32_t cells)
{
    snapshot->service_mask = cells - 1;
    snapshot->service_shift = 64 - (uint32_t)__builtin_ctz(cells);
}

int snapshot_new_table(uint32_t service_count, struct snapshot **ret_snapshot)
{
    uint32_t cells = service_cells(service_count);
    struct snapshot *snapshot = calloc(1, table_bytes(cells));
    if (!snapshot)
        return -ENOMEM;
    cells_set(snapshot, cells);
    *ret_snapshot = snapshot;
    return 0;
}

int snapshot_new_like(const struct snapshot *other, struct snapshot **ret_snapshot)
{
    struct snapshot *snapshot = malloc(table_bytes(other->service_mask + 1));
    if (!snapshot)
        return -ENOMEM;
    cells_set(snapshot, other->service_mask + 1);
    *ret_snapshot = snapshot;
    return 0;
}

void snapshot_copy_cells(struct snapshot *snapshot, const struct snapshot *from, uint32_t first, uint32_t count)
{
    memcpy(&snapshot->services[first], &from->services[first], sizeof(from->services[0]) * count);
}

void snapshot_put(struct snapshot *snapshot, uint64_t service_id, const struct snapshot_member *members,
                  const struct snapshot_share *shares, uint32_t member_count)
{
    snapshot->services[snapshot_cell(snapshot, service_id)] = (struct snapshot_service){
        .service_id = service_id,
        .members = member_count ? members : &nobody,
        .shares = shares,
        .member_count = member_count,
    };
}

/* The offers of one service, sorted, into `members`; returns how many of them name a node. */
static uint32_t members_fill(const struct snapshot_offer *offers, uint32_t offer_count, struct snapshot_member *members)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < offer_count; i++) {
        const struct snapshot_offer *offer = &offers[i];
        if (offer->slot == UINT32_MAX)
            continue;
        members[count++] = (struct snapshot_member){
            .slot = offer->slot & (SNAPSHOT_SLOTS_MAX - 1),
            .service_ordinal = offer->service_ordinal & 31u,
        };
    }
    return count;
}

static int offers_check(const struct snapshot_offer *offers, uint32_t offer_count, uint32_t slot_count)
{
    if (slot_count > SNAPSHOT_SLOTS_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < offer_count; i++)
        if (offers[i].slot != UINT32_MAX && (offers[i].slot >= slot_count || offers[i].service_ordinal >= 32))
            return -EINVAL;
    return 0;
}

int snapshot_new(uint32_t slot_count, struct snapshot_offer *offers, uint32_t offer_count, struct snapshot **ret_snapshot)
{
    int error = offers_check(offers, offer_count, slot_count);
    if (error < 0)
        return error;
    if (offer_count)
        qsort(offers, offer_count, sizeof(*offers), offer_compare);
    uint32_t cells = service_cells(services_count(offers, offer_count));
    size_t members_at = table_bytes(cells);
    char *memory = calloc(1, members_at + sizeof(struct snapshot_member) * offer_count);
    if (!memory)
        return -ENOMEM;
    struct snapshot *snapshot = (struct snapshot *)(void *)memory;
    struct snapshot_member *members = (struct snapshot_member *)(void *)(memory + members_at);
    cells_set(snapshot, cells);
    for (uint32_t first = 0, next; first < offer_count; first = next) {
        for (next = first + 1; next < offer_count && offers[next].service_id == offers[first].service_id;)
            next++;
        uint32_t count = members_fill(&offers[first], next - first, members);
        snapshot_put(snapshot, offers[first].service_id, members, NULL, count);
        members += count;
    }
    *ret_snapshot = snapshot;
    return 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot);
}

bool snapshot_is_empty(const struct snapshot *snapshot)
{
    for (uint32_t i = 0; i <= snapshot->service_mask; i++)
        if (snapshot->services[i].members)
            return false;
    return true;
}
