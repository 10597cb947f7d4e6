#include "rm/averages.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "rm/changes.h"

/* Marks of a service are looked at again so often, but for 5 µs for each node of the cluster: with 100,000 twice a second, where each of them
 * looks at its own mark once a second at least. */
#define RECHECK_INTERVAL_NS (100 * NS_PER_MS)
#define RECHECK_NODE_NS (5 * NS_PER_US)

static struct service *service_of(struct cluster *cluster, const struct node *node, uint8_t ordinal)
{
    return &cluster->services.item[node->services[ordinal].service];
}

/* Sets one mark to what it should be; true when it was something else. */
static bool mark_update(struct cluster *cluster, struct service_member member)
{
    struct node *node = &cluster->nodes[member.slot];
    struct service *service = service_of(cluster, node, member.ordinal);
    struct node_service *offered = &node->services[member.ordinal];
    bool below = service_load_is_below(service, load_units(node->load_index));
    if (below == offered->below_average)
        return false;
    offered->below_average = below;
    service->below_count += below ? 1 : UINT32_MAX; /* that is, minus 1 */
    return true;
}

/* With exact sums somebody is below, so this ends with at least one mark. */
static void service_check_all(struct cluster *cluster, struct service *service)
{
    for (uint32_t i = 0; i < service->member_count; i++)
        if (mark_update(cluster, service->members[i]))
            changes_touch(cluster, service->members[i].slot);
    CHECK(service->member_count == 0 || service->below_count > 0);
}

/* After the service's sums have moved. */
static void service_moved(struct cluster *cluster, uint32_t index)
{
    struct service *service = &cluster->services.item[index];
    if (service->member_count == 0)
        return;
    service->moved = true;
    services_stale_add(&cluster->services, index);
    if (service->below_count == 0)
        service_check_all(cluster, service);
}

static void service_leave_member(struct cluster *cluster, uint32_t slot, uint8_t ordinal)
{
    struct node *node = &cluster->nodes[slot];
    struct node_service *offered = &node->services[ordinal];
    struct service *service = service_of(cluster, node, ordinal);
    weights_leave(cluster, slot, ordinal);
    struct service_member moved = service_leave(service, offered->position, load_units(node->load_index));
    if (moved.slot != NODE_NONE)
        cluster->nodes[moved.slot].services[moved.ordinal].position = offered->position;
    if (offered->below_average)
        service->below_count--;
    offered->below_average = false;
}

static void standby_leave(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    for (uint8_t i = 0; i < node->service_count && node->standby; i++)
        weights_leave(cluster, slot, i);
    node->standby = false;
}

static int standby_join(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    int error = 0;
    uint8_t joined = 0;
    node->standby = true;
    while (joined < node->service_count && (error = weights_join(cluster, slot, joined)) == 0)
        joined++;
    while (error < 0 && joined-- > 0)
        weights_leave(cluster, slot, joined);
    node->standby = error == 0;
    return error;
}

static void examined_leave(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    node->examined = false;
    for (uint8_t i = 0; i < node->service_count; i++) {
        service_leave_member(cluster, slot, i);
        service_moved(cluster, node->services[i].service);
    }
}

void averages_leave(struct cluster *cluster, uint32_t slot)
{
    standby_leave(cluster, slot);
    if (cluster->nodes[slot].examined)
        examined_leave(cluster, slot);
}

static int averages_join(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    uint64_t load = load_units(node->load_index);
    for (uint8_t i = 0; i < node->service_count; i++) {
        int error = weights_join(cluster, slot, i);
        if (error == 0) {
            error = service_join(service_of(cluster, node, i), slot, i, load, &node->services[i].position);
            if (error < 0)
                weights_leave(cluster, slot, i);
        }
        if (error < 0) {
            while (i-- > 0)
                service_leave_member(cluster, slot, i);
            return error;
        }
    }
    node->examined = true;
    for (uint8_t i = 0; i < node->service_count; i++) {
        (void)mark_update(cluster, (struct service_member){.slot = slot, .ordinal = i});
        service_moved(cluster, node->services[i].service);
    }
    return 0;
}

int averages_update(struct cluster *cluster, uint32_t slot)
{
    const struct node *node = &cluster->nodes[slot];
    bool usable = !node_is_drained(node) && !(node->flags & (WIRE_NODE_DRAINING | WIRE_NODE_NO_JOBS));
    bool examined = usable && node->state == NODE_FRESH, standby = usable && node->state == NODE_LAST;
    if (examined == node->examined && standby == node->standby)
        return 0;
    averages_leave(cluster, slot);
    if (examined)
        return averages_join(cluster, slot);
    return standby ? standby_join(cluster, slot) : 0;
}

void averages_load_changed(struct cluster *cluster, uint32_t slot, float old_load)
{
    struct node *node = &cluster->nodes[slot];
    uint64_t load = load_units(node->load_index);
    if (!node->examined || load == load_units(old_load))
        return;
    for (uint8_t i = 0; i < node->service_count; i++) {
        service_load_replace(service_of(cluster, node, i), load_units(old_load), load);
        (void)mark_update(cluster, (struct service_member){.slot = slot, .ordinal = i});
        service_moved(cluster, node->services[i].service);
    }
}

/* Looks at the marks of a stale service from where the last slice ended; true when its end was reached. */
static bool service_check_slice(struct cluster *cluster, struct service *service, uint32_t *budget)
{
    while (service->check_position < service->member_count) {
        struct service_member member = service->members[service->check_position];
        if (*budget == 0)
            return false;
        (*budget)--;
        service->check_position++;
        bool changed = mark_update(cluster, member);
        if (service->reweighing && weights_refresh(cluster, member.slot, member.ordinal))
            changed = true;
        if (changed)
            changes_touch(cluster, member.slot);
    }
    service->check_position = 0;
    return true;
}

static uint64_t recheck_interval_ns(const struct cluster *cluster)
{
    uint64_t interval_ns = cluster->node_count * RECHECK_NODE_NS;
    return interval_ns > RECHECK_INTERVAL_NS ? interval_ns : RECHECK_INTERVAL_NS;
}

bool cluster_averages_step(struct cluster *cluster, uint64_t now_ns, uint32_t budget)
{
    struct services *services = &cluster->services;
    while (services->stale_head != SERVICE_NONE) {
        uint32_t index = services->stale_head;
        struct service *service = &services->item[index];
        if (service->check_position == 0) {
            if (now_ns < service->checked_ns + recheck_interval_ns(cluster))
                return false;
            service->checked_ns = now_ns;
            service->moved = false;
            service->reweighing = service->weights.moved;
            service->weights.moved = false;
        }
        if (!service_check_slice(cluster, service, &budget))
            return true;
        services_stale_take_head(services);
        if (service->below_count == 0)
            service_check_all(cluster, service);
        if (service->moved || service->weights.moved)
            services_stale_add(services, index);
    }
    return false;
}
