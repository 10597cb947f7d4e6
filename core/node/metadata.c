#include "core/node/metadata.h"

void metadata_add(struct wire_heartbeat *heartbeat, enum wire_metadata_key key, float value)
{
    heartbeat->metadata[heartbeat->metadata_count++] = (struct wire_metadata){.key = (uint8_t)key, .value = value};
}

static void add_resources(struct wire_heartbeat *heartbeat, const struct resource_report *report)
{
    static const uint8_t keys[RESOURCES] = {
        [RESOURCE_CPU_CORES] = WIRE_METADATA_CPU_CORES,
        [RESOURCE_MEMORY_GB] = WIRE_METADATA_MEMORY_GB,
        [RESOURCE_DISK_READ_CAPACITY] = WIRE_METADATA_DISK_READ_CAPACITY,
        [RESOURCE_DISK_WRITE_CAPACITY] = WIRE_METADATA_DISK_WRITE_CAPACITY,
        [RESOURCE_NIC_IN_CAPACITY] = WIRE_METADATA_NIC_IN_CAPACITY,
        [RESOURCE_NIC_OUT_CAPACITY] = WIRE_METADATA_NIC_OUT_CAPACITY,
        [RESOURCE_DISK_READ] = WIRE_METADATA_DISK_READ,
        [RESOURCE_DISK_WRITE] = WIRE_METADATA_DISK_WRITE,
        [RESOURCE_NIC_IN] = WIRE_METADATA_NIC_IN,
        [RESOURCE_NIC_OUT] = WIRE_METADATA_NIC_OUT,
        [RESOURCE_PRESSURE_CPU] = WIRE_METADATA_PRESSURE_CPU,
        [RESOURCE_PRESSURE_MEMORY] = WIRE_METADATA_PRESSURE_MEMORY,
        [RESOURCE_PRESSURE_IO] = WIRE_METADATA_PRESSURE_IO,
    };
    for (uint32_t i = 0; i < RESOURCES; i++)
        if (report->known >> i & 1)
            metadata_add(heartbeat, (enum wire_metadata_key)keys[i], report->value[i]);
}

void metadata_add_host(struct wire_heartbeat *heartbeat, const struct load_report *load, const struct resource_report *resources)
{
    metadata_add(heartbeat, WIRE_METADATA_CPU_USE, load->mean[LOAD_CPU]);
    metadata_add(heartbeat, WIRE_METADATA_MEMORY_USE, load->mean[LOAD_MEMORY]);
    metadata_add(heartbeat, WIRE_METADATA_DISK_USE, load->mean[LOAD_DISK]);
    add_resources(heartbeat, resources);
}
