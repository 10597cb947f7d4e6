#include "core/node/proc.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In /proc/diskstats, whatever the disk's own are. */
#define PROC_SECTOR_BYTES 512u

enum cpu_column {
    CPU_USER,
    CPU_NICE,
    CPU_SYSTEM,
    CPU_IDLE,
    CPU_IOWAIT,
    CPU_IRQ,
    CPU_SOFTIRQ,
    CPU_STEAL,
    CPU_COLUMNS, /* guest and guest_nice follow; they are part of user and nice */
};

int proc_cpu_parse(const char *text, struct proc_cpu *ret_cpu)
{
    if (strncmp(text, "cpu ", 4) != 0)
        return -EINVAL;
    const char *at = text + 4;
    uint64_t ticks[CPU_COLUMNS] = {0};
    uint64_t total = 0;
    for (uint32_t i = 0; i < CPU_COLUMNS; i++) {
        char *end;
        ticks[i] = strtoull(at, &end, 10);
        if (end == at)
            return -EINVAL;
        total += ticks[i];
        at = end;
    }
    *ret_cpu = (struct proc_cpu){.busy = total - ticks[CPU_IDLE] - ticks[CPU_IOWAIT], .total = total};
    return 0;
}

static float share(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    return part >= whole ? 1 : (float)((double)part / (double)whole);
}

float proc_cpu_use(const struct proc_cpu *earlier, const struct proc_cpu *later)
{
    /* Idle and iowait may step back a little (proc(5)), and busy with them. */
    if (later->busy < earlier->busy || later->total < earlier->total)
        return 0;
    return share(later->busy - earlier->busy, later->total - earlier->total);
}

static bool meminfo_find(const char *text, const char *key, uint64_t *ret_kib)
{
    const char *at = strstr(text, key);
    return at != NULL && sscanf(at + strlen(key), " %" SCNu64, ret_kib) == 1;
}

int proc_memory_parse(const char *text, struct proc_memory *ret_memory)
{
    uint64_t total, available;
    if (!meminfo_find(text, "MemTotal:", &total) || !meminfo_find(text, "MemAvailable:", &available) || total == 0)
        return -EINVAL;
    *ret_memory = (struct proc_memory){
        .total_bytes = total * 1024,
        .used_bytes = available >= total ? 0 : (total - available) * 1024,
    };
    return 0;
}

int proc_pressure_parse(const char *text, float *ret_share)
{
    float percent;
    if (sscanf(text, "some avg10=%f", &percent) != 1 || !(percent >= 0))
        return -EINVAL;
    *ret_share = percent < 100 ? percent / 100 : 1;
    return 0;
}

static bool is_virtual(const char *name)
{
    static const char *const prefixes[] = {"loop", "ram", "zram", "dm-", "md", "sr", "fd"};
    for (uint32_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], length) == 0 && isdigit((unsigned char)name[length]))
            return true;
    }
    return false;
}

/* The kernel lists a disk before its partitions and names these after it: sda1, and after a name that ends in a digit nvme0n1p1
 * (block/partitions/core.c). */
static bool is_partition_of(const char *name, const char *disk)
{
    size_t length = strlen(disk);
    if (length == 0 || strncmp(name, disk, length) != 0)
        return false;
    const char *number = name + length;
    if (isdigit((unsigned char)disk[length - 1]) && *number++ != 'p')
        return false;
    return *number != '\0' && strspn(number, "0123456789") == strlen(number);
}

void proc_disks_parse(const char *text, struct proc_disks *ret_disks)
{
    ret_disks->count = 0;
    const char *disk = "";
    for (const char *line = text; line != NULL && ret_disks->count < PROC_DISKS_MAX;) {
        struct proc_disk *to = &ret_disks->disks[ret_disks->count];
        /* major minor name, then of reads how many, merged, sectors, milliseconds, the same of writes, in progress, and the
         * milliseconds with something in progress */
        if (sscanf(line, "%*u %*u %31s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64 " %*u %*u %" SCNu64, to->name, &to->read_bytes,
                   &to->written_bytes, &to->busy_ms) == 4 &&
            !is_virtual(to->name) && !is_partition_of(to->name, disk)) {
            disk = to->name;
            to->read_bytes *= PROC_SECTOR_BYTES;
            to->written_bytes *= PROC_SECTOR_BYTES;
            ret_disks->count++;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
}

static const struct proc_disk *disk_find(const struct proc_disks *disks, const char *name)
{
    for (uint32_t i = 0; i < disks->count; i++)
        if (strcmp(disks->disks[i].name, name) == 0)
            return &disks->disks[i];
    return NULL;
}

float proc_disks_use(const struct proc_disks *earlier, const struct proc_disks *later, uint64_t elapsed_ms)
{
    float use = 0;
    for (uint32_t i = 0; i < later->count; i++) {
        const struct proc_disk *before = disk_find(earlier, later->disks[i].name);
        if (before == NULL)
            continue;
        uint32_t busy_ms = (uint32_t)later->disks[i].busy_ms - (uint32_t)before->busy_ms;
        float disk_use = share(busy_ms, elapsed_ms);
        use = disk_use > use ? disk_use : use;
    }
    return use;
}

static uint64_t grown(uint64_t earlier, uint64_t later)
{
    return later >= earlier ? later - earlier : 0;
}

void proc_disks_moved(const struct proc_disks *earlier, const struct proc_disks *later, uint64_t *ret_read, uint64_t *ret_written)
{
    uint64_t read = 0, written = 0;
    for (uint32_t i = 0; i < later->count; i++) {
        const struct proc_disk *now = &later->disks[i];
        const struct proc_disk *before = disk_find(earlier, now->name);
        if (before == NULL)
            continue;
        read += grown(before->read_bytes, now->read_bytes);
        written += grown(before->written_bytes, now->written_bytes);
    }
    *ret_read = read;
    *ret_written = written;
}
