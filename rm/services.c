#include "rm/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/wire/service.h"
#include "rm/node.h"

#define LOAD_INDEX_MAX 1e6f
#define LOAD_UNITS 1e6

void services_init(struct services *services)
{
    *services = (struct services){.stale_head = SERVICE_NONE, .stale_tail = SERVICE_NONE, .free_head = SERVICE_NONE};
    map_init(&services->by_id, sizeof(uint64_t));
}

static void service_release(struct service *service)
{
    free(service->members);
    weight_index_done(&service->weights);
    weight_index_done(&service->last);
}

void services_done(struct services *services)
{
    for (uint32_t i = 0; i < services->item_count; i++)
        service_release(&services->item[i]);
    free(services->item);
    map_done(&services->by_id);
    services_init(services);
}

static int services_grow(struct services *services)
{
    uint32_t capacity = services->capacity ? services->capacity * 2 : 16;
    if (services->free_head != SERVICE_NONE || services->item_count < services->capacity)
        return 0;
    if (services->item_count >= SERVICES_MAX)
        return -ENOSPC;
    struct service *item = realloc(services->item, capacity * sizeof(*item));
    if (!item)
        return -ENOMEM;
    services->item = item;
    services->capacity = capacity;
    return 0;
}

int services_put(struct services *services, uint64_t service_id, uint32_t *ret_index)
{
    uint32_t index = map_get(&services->by_id, &service_id);
    if (index == MAP_NONE) {
        int error = services_grow(services);
        if (error < 0)
            return error;
        bool again = services->free_head != SERVICE_NONE;
        index = again ? services->free_head : services->item_count;
        error = map_put(&services->by_id, &service_id, index);
        if (error < 0)
            return error;
        if (again)
            services->free_head = services->item[index].free_next;
        else
            services->item_count++;
        services->item[index] = (struct service){.service_id = service_id, .in_use = true, .stale_next = SERVICE_NONE};
        services->count++;
    }
    *ret_index = index;
    return 0;
}

int services_put_name(struct services *services, const char *name, size_t length, uint32_t *ret_index)
{
    uint32_t index;
    CHECK(service_name_valid(name, length));
    int error = services_put(services, service_id(name, length), &index);
    if (error < 0)
        return error;
    struct service *service = &services->item[index];
    if (service->name[0] == '\0')
        memcpy(service->name, name, length);
    else if (strncmp(service->name, name, length) != 0 || service->name[length] != '\0')
        return USHER_ENAMECOLLISION;
    *ret_index = index;
    return 0;
}

void services_hold(struct services *services, uint32_t index)
{
    services->item[index].holder_count++;
    services->item[index].unheld_ns = 0;
}

void services_unhold(struct services *services, uint32_t index)
{
    CHECK(services->item[index].holder_count > 0);
    services->item[index].holder_count--;
}

static void service_forget(struct services *services, uint32_t index)
{
    struct service *service = &services->item[index];
    CHECK(service->holder_count == 0 && service->member_count == 0 && service->last.count == 0 && !service->stale);
    CHECK(map_remove(&services->by_id, &service->service_id));
    service_release(service);
    *service = (struct service){.free_next = services->free_head, .stale_next = SERVICE_NONE};
    services->free_head = index;
    services->count--;
}

void services_forget_step(struct services *services, uint64_t now_ns, uint32_t budget)
{
    for (; budget > 0 && services->item_count > 0; budget--) {
        services->look_at = (services->look_at + 1) % services->item_count;
        struct service *service = &services->item[services->look_at];
        if (!service->in_use || service->holder_count > 0 || service->stale)
            continue;
        if (service->unheld_ns == 0)
            service->unheld_ns = now_ns;
        else if (now_ns - service->unheld_ns >= SERVICE_KEPT_NS)
            service_forget(services, services->look_at);
    }
}

uint64_t load_units(float load_index)
{
    float capped = load_index < LOAD_INDEX_MAX ? load_index : LOAD_INDEX_MAX;
    return (uint64_t)((double)capped * LOAD_UNITS + 0.5);
}

static void load_add(struct service *service, uint64_t load)
{
    service->load_sum += load;
    service->load_square_sum += (unsigned __int128)load * load;
}

static void load_subtract(struct service *service, uint64_t load)
{
    CHECK(service->load_sum >= load);
    service->load_sum -= load;
    service->load_square_sum -= (unsigned __int128)load * load;
}

int service_join(struct service *service, uint32_t slot, uint8_t ordinal, uint64_t load, uint32_t *ret_position)
{
    if (service->member_count == service->member_capacity) {
        uint32_t capacity = service->member_capacity ? service->member_capacity * 2 : 8;
        struct service_member *members = realloc(service->members, capacity * sizeof(*members));
        if (!members)
            return -ENOMEM;
        service->members = members;
        service->member_capacity = capacity;
    }
    service->members[service->member_count] = (struct service_member){.slot = slot, .ordinal = ordinal};
    *ret_position = service->member_count++;
    load_add(service, load);
    return 0;
}

struct service_member service_leave(struct service *service, uint32_t position, uint64_t load)
{
    CHECK(position < service->member_count);
    load_subtract(service, load);
    struct service_member last = service->members[--service->member_count];
    if (position == service->member_count)
        return (struct service_member){.slot = NODE_NONE};
    service->members[position] = last;
    return last;
}

void service_load_replace(struct service *service, uint64_t old_load, uint64_t new_load)
{
    load_subtract(service, old_load);
    load_add(service, new_load);
}

/* All are equal exactly when the variance is 0, that is n·Σx² = (Σx)². With loads ≤ 10^12 units and 2^20 nodes both sides are
 * below 2^121. */
static bool service_loads_are_equal(const struct service *service)
{
    unsigned __int128 sum = service->load_sum;
    return service->member_count * service->load_square_sum == sum * sum;
}

bool service_load_is_below(const struct service *service, uint64_t load)
{
    unsigned __int128 scaled = (unsigned __int128)load * service->member_count;
    return scaled < service->load_sum || service_loads_are_equal(service);
}

void services_stale_add(struct services *services, uint32_t index)
{
    struct service *service = &services->item[index];
    if (service->stale)
        return;
    service->stale = true;
    service->stale_next = SERVICE_NONE;
    if (services->stale_tail == SERVICE_NONE)
        services->stale_head = index;
    else
        services->item[services->stale_tail].stale_next = index;
    services->stale_tail = index;
}

void services_stale_take_head(struct services *services)
{
    CHECK(services->stale_head != SERVICE_NONE);
    struct service *service = &services->item[services->stale_head];
    services->stale_head = service->stale_next;
    if (services->stale_head == SERVICE_NONE)
        services->stale_tail = SERVICE_NONE;
    service->stale = false;
}
