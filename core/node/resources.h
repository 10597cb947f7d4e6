/* resources - what the machine, or the control group, has and uses of CPU, memory, disk and network: the load index is made of it
 * (N5), and the metadata of heartbeats (requirement N7; design B, claims 2 and 3).
 *
 * Inside a control group with limits these and its own use count instead of the machine's. What Linux does not tell (disks' MB/s, the
 * speed of most virtual NICs) is configured or not known.
 * Thread: the loop's. Reading /proc costs the kernel some 50 µs, on machines of hundreds of CPUs up to a millisecond; statvfs asks a
 * local file system. Neither waits for a device. Memory: resources_new allocates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/node/load.h"

struct resources;

/* Of the node: what it can, and what it does. */
enum resource {
    RESOURCE_CPU_CORES,
    RESOURCE_MEMORY_GB, /* 10^9 bytes */
    RESOURCE_DISK_READ_CAPACITY, /* MB/s, here and below */
    RESOURCE_DISK_WRITE_CAPACITY,
    RESOURCE_NIC_IN_CAPACITY,
    RESOURCE_NIC_OUT_CAPACITY,
    RESOURCE_CAPACITIES,
    RESOURCE_DISK_READ = RESOURCE_CAPACITIES,
    RESOURCE_DISK_WRITE,
    RESOURCE_NIC_IN,
    RESOURCE_NIC_OUT,
    RESOURCE_PRESSURE_CPU, /* share of the time in which some task waited for it (PSI), 0 … 1 */
    RESOURCE_PRESSURE_MEMORY,
    RESOURCE_PRESSURE_IO,
    RESOURCES,
};

/* "cpu_cores": as in PROTOCOL.md's table of metadata. */
extern const char *const resource_names[RESOURCES];

struct resource_report {
    uint32_t known; /* bit by resource */
    float value[RESOURCES];
    float latest[RESOURCES]; /* throughputs: MB/s since the sample before, not smoothed; others: 0 */
};

struct resources_config {
    enum load_disk disk;
    const char *disk_path; /* needed for LOAD_DISK_SPACE only; copied */
    float capacity[RESOURCE_CAPACITIES]; /* configured; 0: what Linux says */
    uint64_t window_ns; /* throughputs are means over about so long */
};

/* Takes the first readings, from which the first sample's differences count. -ENOMEM; -ENOENT and others of statvfs(3) for disk_path. */
NODISCARD int resources_new(const struct resources_config *config, uint64_t now_ns, struct resources **ret_resources);
void resources_free(struct resources *resources);

/* Fills cpu, memory and disk of the sample: use since the last call, or now. */
void resources_take(struct resources *resources, uint64_t now_ns, struct load_sample *ret_sample);

/* As of the latest resources_take. */
const struct resource_report *resources_report(const struct resources *resources);
