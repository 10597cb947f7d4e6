/* Nodes that an earlier rm left in Redis: what they offered, and when they last heartbeat. They are listed with their ages, and
 * a grace gives them time for a heartbeat to this process. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "rm/averages.h"
#include "rm/changes.h"
#include "rm/cluster.h"
#include "rm/membership.h"

static bool heard_here(const struct node *node)
{
    return node->state != NODE_KNOWN || (node->boot.boot_id != 0 && !node->restored);
}

int cluster_restore(struct cluster *cluster, struct cluster_time now, const struct cluster_restored *restored)
{
    uint32_t slot;
    int error = membership_put(cluster, now, &restored->address, &slot);
    if (error < 0)
        return error;
    struct node *node = &cluster->nodes[slot];
    if (heard_here(node))
        return 0;
    error = membership_set_services(cluster, slot, restored->services, restored->service_count);
    if (error < 0)
        return error;
    node->kind = restored->kind;
    node->flags = restored->flags;
    node->slots = restored->slots;
    node->boot = restored->boot;
    node->registered_boot = restored->registered ? restored->boot.boot_id : 0;
    node->timestamp_ms = restored->timestamp_ms;
    node->load_index = restored->load_index;
    node->load_per_job = restored->load_per_job;
    node->restored = true;
    return 0;
}

void cluster_restore_age(struct cluster *cluster, struct cluster_time now, const struct address *address, uint64_t age_ns)
{
    uint32_t slot = cluster_find(cluster, address);
    if (slot == NODE_NONE || !cluster->nodes[slot].restored)
        return;
    /* 0 says that it never heartbeat; a machine that has just booted has no time as early as an old heartbeat's. */
    cluster->nodes[slot].arrival_ns = now.ns > age_ns ? now.ns - age_ns : 1;
}

int cluster_restore_admin(struct cluster *cluster, struct cluster_time now, const struct address *address,
                          const struct wire_admin *admin, const char *reason)
{
    uint32_t slot;
    int error = membership_put(cluster, now, address, &slot);
    if (error == 0)
        (void)cluster_admin_adopt(cluster, now, slot, admin, reason);
    return error;
}

struct restored_order {
    uint64_t arrival_ns;
    uint32_t slot;
};

static int order_compare(const void *left, const void *right)
{
    const struct restored_order *a = left;
    const struct restored_order *b = right;
    return (a->arrival_ns > b->arrival_ns) - (a->arrival_ns < b->arrival_ns);
}

static uint32_t restored_collect(const struct cluster *cluster, struct restored_order *order)
{
    uint32_t count = 0;
    for (uint32_t slot = cluster->states[NODE_KNOWN].head; slot != NODE_NONE;
         slot = cluster->nodes[slot].links[NODE_LIST_STATE].next) {
        const struct node *node = &cluster->nodes[slot];
        if (node->restored && node->arrival_ns != 0)
            order[count++] = (struct restored_order){.arrival_ns = node->arrival_ns, .slot = slot};
    }
    return count;
}

/* The list of fresh nodes goes by arrival: those heard of since rm started belong behind those that an earlier rm heard. */
static void heard_move_back(struct cluster *cluster, uint32_t first, uint32_t count)
{
    for (uint32_t slot = first; count > 0; count--) {
        uint32_t next = cluster->nodes[slot].links[NODE_LIST_STATE].next;
        node_list_remove(&cluster->states[NODE_FRESH], cluster->nodes, slot, NODE_LIST_STATE);
        node_list_append(&cluster->states[NODE_FRESH], cluster->nodes, slot, NODE_LIST_STATE);
        slot = next;
    }
}

int cluster_restore_commit(struct cluster *cluster, struct cluster_time now)
{
    uint32_t heard_first = cluster->states[NODE_FRESH].head;
    uint32_t heard_count = cluster->states[NODE_FRESH].count;
    struct restored_order *order = calloc((size_t)cluster->states[NODE_KNOWN].count + 1, sizeof(*order));
    if (!order)
        return -ENOMEM;
    uint32_t count = restored_collect(cluster, order);
    qsort(order, count, sizeof(*order), order_compare);
    if (count > 0)
        cluster_grace_begin(cluster, now.ns);
    for (uint32_t i = 0; i < count; i++) {
        struct node *node = &cluster->nodes[order[i].slot];
        bool fresh = node_age_ns(node, now.ns) <= cluster->config.valid_ns;
        node->expired_ns = cluster->grace_until_ns;
        /* Out of memory: listed, but neither examined nor told of; its next heartbeat tries again. */
        if (membership_enter(cluster, order[i].slot, fresh ? NODE_FRESH : NODE_LAST) < 0)
            averages_leave(cluster, order[i].slot);
    }
    heard_move_back(cluster, heard_first, heard_count);
    cluster->restored_count += count;
    free(order);
    return 0;
}
