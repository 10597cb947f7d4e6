#include "bench/feed/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/wire/service.h"

#define FLEET_PORT 7500
#define FLEET_SLOTS 4
#define FLEET_JOB_S 0.05f /* reports that are up to some seconds old still say something (docs/PLACEMENT.md) */

/* 2²⁴ addresses: a serial comes again only long after its first bearer has left. */
static struct address fleet_address(uint32_t serial)
{
    return (struct address){
        .family = ADDRESS_IPV4,
        .port = FLEET_PORT,
        .ip = {10, (uint8_t)(serial >> 16), (uint8_t)(serial >> 8), (uint8_t)serial},
    };
}

static uint64_t fleet_service_id(uint32_t index)
{
    char name[SERVICE_NAME_BYTES_MAX + 1];
    int length = index == 0 ? snprintf(name, sizeof(name), "echo") : snprintf(name, sizeof(name), "echo-%u", index);
    return service_id(name, (size_t)length);
}

static void node_report(struct fleet *fleet, struct fleet_node *node, uint64_t now_ns)
{
    node->load = (float)random_unit(&fleet->random);
    node->reported_ns = now_ns;
}

static void node_join(struct fleet *fleet, struct fleet_node *node, uint64_t now_ns)
{
    node->serial = fleet->next_serial++ & 0xffffff;
    node_report(fleet, node, now_ns);
}

int fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t now_ns)
{
    *fleet = (struct fleet){.config = *config};
    random_init(&fleet->random, config->seed);
    fleet->nodes = calloc(config->node_count, sizeof(*fleet->nodes));
    fleet->service_ids = calloc(config->service_count, sizeof(*fleet->service_ids));
    if (!fleet->nodes || !fleet->service_ids) {
        fleet_done(fleet);
        return -ENOMEM;
    }
    if (fleet->config.services_per_node > config->service_count)
        fleet->config.services_per_node = config->service_count;
    for (uint32_t i = 0; i < config->service_count; i++)
        fleet->service_ids[i] = fleet_service_id(i);
    for (uint32_t i = 0; i < config->node_count; i++)
        node_join(fleet, &fleet->nodes[i], now_ns);
    return 0;
}

void fleet_done(struct fleet *fleet)
{
    free(fleet->nodes);
    free(fleet->service_ids);
}

uint32_t fleet_update(struct fleet *fleet, uint64_t now_ns)
{
    uint32_t index = fleet->next_update;
    fleet->next_update = index + 1 == fleet->config.node_count ? 0 : index + 1;
    node_report(fleet, &fleet->nodes[index], now_ns);
    return index;
}

uint32_t fleet_replace(struct fleet *fleet, uint64_t now_ns, struct address *ret_left)
{
    uint32_t index = random_below(&fleet->random, fleet->config.node_count);
    *ret_left = fleet_address(fleet->nodes[index].serial);
    node_join(fleet, &fleet->nodes[index], now_ns);
    return index;
}

void fleet_entry(const struct fleet *fleet, uint32_t index, uint64_t now_ns, struct wire_node *ret_entry)
{
    const struct fleet_node *node = &fleet->nodes[index];
    uint32_t per_node = fleet->config.services_per_node;
    uint32_t jobs = (uint32_t)(node->load * FLEET_SLOTS);
    bool below = node->load < fleet->config.below;
    ret_entry->address = fleet_address(node->serial);
    ret_entry->kind = WIRE_NODE_WORKER;
    ret_entry->flags = 0;
    ret_entry->slots = FLEET_SLOTS;
    ret_entry->boot_id = node->serial + UINT64_C(1);
    ret_entry->age_ms = (uint32_t)((now_ns - node->reported_ns) / NS_PER_MS);
    ret_entry->load_index = node->load;
    ret_entry->load_per_job = 1.0f / FLEET_SLOTS;
    ret_entry->jobs_queued = 0;
    ret_entry->jobs_running = jobs;
    ret_entry->echo_jobs = 0;
    ret_entry->service_count = (uint8_t)per_node;
    for (uint32_t i = 0; i < per_node; i++)
        ret_entry->services[i] = (struct wire_node_service){
            .service_id = fleet->service_ids[((uint64_t)node->serial * per_node + i) % fleet->config.service_count],
            .flags = below ? WIRE_SERVICE_BELOW_AVERAGE : 0,
            .work_s = (float)jobs * FLEET_JOB_S / (float)per_node,
            .rate = FLEET_SLOTS / FLEET_JOB_S,
            .weight = 1 - node->load / 2,
        };
}
