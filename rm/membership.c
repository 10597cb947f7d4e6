#include "rm/membership.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "rm/averages.h"
#include "rm/changes.h"

#define SLOTS_FIRST 64u

int node_set_echoes(struct node *node, const struct wire_echo *echoes, uint8_t count)
{
    if (count != node->echo_count) {
        struct wire_echo *room = realloc(node->echoes, ((size_t)count + 1) * sizeof(*room));
        if (!room)
            return -ENOMEM;
        node->echoes = room;
        node->echo_count = count;
    }
    if (count > 0)
        memcpy(node->echoes, echoes, count * sizeof(*echoes));
    return 0;
}

void node_set_reason(struct node *node, const char *reason)
{
    size_t length = reason ? strnlen(reason, NODE_REASON_BYTES_MAX) : 0;
    /* With half a character at its end it would be no JSON string, neither for operators nor in Redis. */
    while (length > 0 && ((unsigned char)reason[length] & 0xc0) == 0x80)
        length--;
    free(node->reason);
    node->reason = length > 0 ? strndup(reason, length) : NULL;
}

void node_release(struct node *node)
{
    free(node->reason);
    free(node->services);
    free(node->echoes);
    node_metrics_clear(node);
    *node = (struct node){.address = {.family = ADDRESS_NONE}};
}

static int slots_grow(struct cluster *cluster)
{
    uint32_t capacity = cluster->slot_capacity ? cluster->slot_capacity * 2 : SLOTS_FIRST;
    if (cluster->free_head != NODE_NONE || cluster->slot_count < cluster->slot_capacity)
        return 0;
    if (cluster->slot_count >= CLUSTER_NODES_MAX)
        return -ENOSPC;
    struct node *nodes = realloc(cluster->nodes, capacity * sizeof(*nodes));
    if (!nodes)
        return -ENOMEM;
    cluster->nodes = nodes;
    cluster->slot_capacity = capacity;
    return 0;
}

int membership_put(struct cluster *cluster, struct cluster_time now, const struct address *address, uint32_t *ret_slot)
{
    uint32_t slot = map_get(&cluster->by_address, address);
    if (slot != MAP_NONE) {
        *ret_slot = slot;
        return 0;
    }
    int error = slots_grow(cluster);
    if (error < 0)
        return error;
    slot = cluster->free_head != NODE_NONE ? cluster->free_head : cluster->slot_count;
    error = map_put(&cluster->by_address, address, slot);
    if (error < 0)
        return error;
    if (slot == cluster->slot_count)
        cluster->slot_count++;
    else
        cluster->free_head = cluster->nodes[slot].links[NODE_LIST_STATE].next;
    cluster->nodes[slot] = (struct node){
        .address = *address,
        .state = NODE_REGISTERED,
        .metadata_dirty = true,
        .expired_ns = now.ns,
        .joined = cluster->joined_count++,
        .dispatcher_position = NODE_NONE,
    };
    node_list_append(&cluster->states[NODE_REGISTERED], cluster->nodes, slot, NODE_LIST_STATE);
    cluster->node_count++;
    *ret_slot = slot;
    return 0;
}

static void services_drop(struct cluster *cluster, struct node *node)
{
    for (uint8_t i = 0; i < node->service_count; i++)
        services_unhold(&cluster->services, node->services[i].service);
    node->service_count = 0;
}

void membership_forget(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    CHECK(!node_is_listed(node) && !node->examined);
    node_list_remove(&cluster->states[node->state], cluster->nodes, slot, NODE_LIST_STATE);
    if (node->dirty)
        node_list_remove(&cluster->dirty, cluster->nodes, slot, NODE_LIST_DIRTY);
    if (node->has_word)
        node_list_remove(&cluster->words, cluster->nodes, slot, NODE_LIST_WORDS);
    cluster->put_off_count -= node->put_off;
    CHECK(map_remove(&cluster->by_address, &node->address));
    services_drop(cluster, node);
    node_release(node);
    node->links[NODE_LIST_STATE].next = cluster->free_head;
    cluster->free_head = slot;
    cluster->node_count--;
}

static int dispatchers_add(struct cluster *cluster, uint32_t slot)
{
    if (cluster->dispatcher_count == cluster->dispatcher_capacity) {
        uint32_t capacity = cluster->dispatcher_capacity ? cluster->dispatcher_capacity * 2 : 16;
        uint32_t *dispatchers = realloc(cluster->dispatchers, capacity * sizeof(*dispatchers));
        if (!dispatchers)
            return -ENOMEM;
        cluster->dispatchers = dispatchers;
        cluster->dispatcher_capacity = capacity;
    }
    cluster->nodes[slot].dispatcher_position = cluster->dispatcher_count;
    cluster->dispatchers[cluster->dispatcher_count++] = slot;
    return 0;
}

static void dispatchers_remove(struct cluster *cluster, uint32_t slot)
{
    uint32_t position = cluster->nodes[slot].dispatcher_position;
    uint32_t last = cluster->dispatchers[--cluster->dispatcher_count];
    cluster->dispatchers[position] = last;
    cluster->nodes[last].dispatcher_position = position;
    cluster->nodes[slot].dispatcher_position = NODE_NONE;
}

static int dispatchers_update(struct cluster *cluster, uint32_t slot)
{
    const struct node *node = &cluster->nodes[slot];
    bool is = node->dispatcher_position != NODE_NONE;
    bool shall = node->state == NODE_FRESH && node->kind == WIRE_NODE_DISPATCHER && !(node->flags & WIRE_NODE_DRAINING);
    if (shall && !is)
        return dispatchers_add(cluster, slot);
    if (is && !shall)
        dispatchers_remove(cluster, slot);
    return 0;
}

int membership_enter(struct cluster *cluster, uint32_t slot, enum node_state state)
{
    struct node *node = &cluster->nodes[slot];
    bool was_listed = node_is_listed(node);
    node_list_remove(&cluster->states[node->state], cluster->nodes, slot, NODE_LIST_STATE);
    node->state = (uint8_t)state;
    node_list_append(&cluster->states[state], cluster->nodes, slot, NODE_LIST_STATE);
    if (node_is_listed(node))
        changes_touch(cluster, slot);
    else if (was_listed)
        changes_remove(cluster, slot);
    int error = averages_update(cluster, slot);
    int dispatchers_error = dispatchers_update(cluster, slot);
    return error < 0 ? error : dispatchers_error;
}

int membership_set_services(struct cluster *cluster, uint32_t slot, const struct wire_service_load *services, uint8_t count)
{
    struct node *node = &cluster->nodes[slot];
    CHECK(!node->examined && !node->standby);
    services_drop(cluster, node);
    struct node_service *room = realloc(node->services, ((size_t)count + 1) * sizeof(*room));
    if (!room)
        return -ENOMEM;
    node->services = room;
    for (uint8_t i = 0; i < count; i++) {
        const struct wire_service_load *load = &services[i];
        uint32_t index;
        int error = services_put(&cluster->services, load->service_id, &index);
        if (error < 0) {
            services_drop(cluster, node);
            return error;
        }
        services_hold(&cluster->services, index);
        node->services[node->service_count++] =
            (struct node_service){.service_id = load->service_id, .service = index, .work_s = load->work_s, .rate = load->rate};
    }
    return 0;
}
