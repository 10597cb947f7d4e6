#include "core/policy/snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/hash.h"

#define SERVICE_CELL_EMPTY UINT32_MAX

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

static struct snapshot_service *service_cell(const struct snapshot *snapshot, uint64_t service_id)
{
    uint32_t index = (uint32_t)hash_mix(service_id) & snapshot->service_mask;
    for (;;) {
        struct snapshot_service *cell = &snapshot->services[index];
        if (cell->first_member == SERVICE_CELL_EMPTY || cell->service_id == service_id)
            return cell;
        index = (index + 1) & snapshot->service_mask;
    }
}

static struct snapshot *snapshot_allocate(uint32_t slot_count, uint32_t offer_count, uint32_t cells)
{
    /* Parts in order of falling alignment. */
    size_t services_at = (sizeof(struct snapshot) + 7) & ~(size_t)7;
    size_t members_at = services_at + sizeof(struct snapshot_service) * cells;
    char *memory = calloc(1, members_at + sizeof(struct snapshot_member) * offer_count);
    if (!memory)
        return NULL;
    struct snapshot *snapshot = (struct snapshot *)(void *)memory;
    snapshot->services = (struct snapshot_service *)(void *)(memory + services_at);
    snapshot->members = (struct snapshot_member *)(void *)(memory + members_at);
    snapshot->slot_count = slot_count;
    snapshot->service_mask = cells - 1;
    for (uint32_t i = 0; i < cells; i++)
        snapshot->services[i].first_member = SERVICE_CELL_EMPTY;
    return snapshot;
}

static void snapshot_add(struct snapshot *snapshot, const struct snapshot_offer *offer)
{
    struct snapshot_service *service = service_cell(snapshot, offer->service_id);
    if (service->first_member == SERVICE_CELL_EMPTY) {
        service->service_id = offer->service_id;
        service->first_member = snapshot->member_count;
    }
    if (offer->slot == UINT32_MAX)
        return;
    snapshot->members[snapshot->member_count++] = (struct snapshot_member){
        .slot = offer->slot & (SNAPSHOT_SLOTS_MAX - 1),
        .service_ordinal = offer->service_ordinal & 31u,
    };
    service->member_count++;
}

int snapshot_new(uint32_t slot_count, struct snapshot_offer *offers, uint32_t offer_count, struct snapshot **ret_snapshot)
{
    if (slot_count > SNAPSHOT_SLOTS_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < offer_count; i++)
        if (offers[i].slot != UINT32_MAX && (offers[i].slot >= slot_count || offers[i].service_ordinal >= 32))
            return -EINVAL;
    if (offer_count)
        qsort(offers, offer_count, sizeof(*offers), offer_compare);
    struct snapshot *snapshot = snapshot_allocate(slot_count, offer_count, service_cells(services_count(offers, offer_count)));
    if (!snapshot)
        return -ENOMEM;
    for (uint32_t i = 0; i < offer_count; i++)
        snapshot_add(snapshot, &offers[i]);
    *ret_snapshot = snapshot;
    return 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot);
}

const struct snapshot_service *snapshot_service_find(const struct snapshot *snapshot, uint64_t service_id)
{
    const struct snapshot_service *cell = service_cell(snapshot, service_id);
    return cell->first_member == SERVICE_CELL_EMPTY ? NULL : cell;
}

bool snapshot_is_empty(const struct snapshot *snapshot)
{
    for (uint32_t i = 0; i <= snapshot->service_mask; i++)
        if (snapshot->services[i].first_member != SERVICE_CELL_EMPTY)
            return false;
    return true;
}
