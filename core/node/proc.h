/* proc - what Linux says in /proc about the use of CPU, memory and disks, parsed from its text.
 *
 * Shares are of the whole machine, also within a container. Source: proc(5), Documentation/admin-guide/iostats.rst.
 * Pure: reading the files is resources.c's. Thread: any. Nothing blocks or allocates. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

#define PROC_DISKS_MAX 256u
#define PROC_DISK_NAME_BYTES 32

struct proc_cpu {
    uint64_t busy; /* ticks since boot, of all CPUs */
    uint64_t total;
};

struct proc_disk {
    char name[PROC_DISK_NAME_BYTES];
    uint64_t busy_ms; /* since boot; the kernel's counter of 32 bits wraps */
    uint64_t read_bytes; /* since boot */
    uint64_t written_bytes;
};

struct proc_disks {
    uint32_t count;
    struct proc_disk disks[PROC_DISKS_MAX];
};

/* The first line of /proc/stat. Waiting for a disk counts as idle, time stolen by the hypervisor as busy: it is not to be had. -EINVAL. */
NODISCARD int proc_cpu_parse(const char *text, struct proc_cpu *ret_cpu);

/* Share of the CPUs' time in use between two readings, 0 … 1. */
float proc_cpu_use(const struct proc_cpu *earlier, const struct proc_cpu *later);

struct proc_memory {
    uint64_t total_bytes;
    uint64_t used_bytes; /* not available without swapping */
};

/* /proc/meminfo. -EINVAL. */
NODISCARD int proc_memory_parse(const char *text, struct proc_memory *ret_memory);

/* A file of /proc/pressure: the share of the last ten seconds in which some task waited for the resource, 0 … 1
 * (Documentation/accounting/psi.rst). -EINVAL. */
NODISCARD int proc_pressure_parse(const char *text, float *ret_share);

/* /proc/diskstats: whole disks only. Partitions are left out since they count on their disk too, and so are loop, ram, dm and md, whose
 * members count. None: an empty list. Those above PROC_DISKS_MAX are left out. */
void proc_disks_parse(const char *text, struct proc_disks *ret_disks);

/* Share of the time between two readings during which the busiest disk was busy, 0 … 1: a job that waits for the busy one isn't helped
 * by others that are idle. Disks that are in one reading only don't count. */
float proc_disks_use(const struct proc_disks *earlier, const struct proc_disks *later, uint64_t elapsed_ms);

/* Bytes moved between two readings, by all disks that are in both. */
void proc_disks_moved(const struct proc_disks *earlier, const struct proc_disks *later, uint64_t *ret_read,
                      uint64_t *ret_written);
