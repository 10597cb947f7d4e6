#include "core/node/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/node/proc.h"

/* 256 disks with their partitions. /proc/stat is longer on large machines; only its first line counts. */
#define TEXT_BYTES 65536u

struct sampler {
    enum load_disk disk;
    char *disk_path;
    int cpu_fd; /* kept open: reading at 0 gives new numbers */
    int memory_fd;
    int disks_fd;
    uint64_t at_ns; /* of the last readings */
    struct proc_cpu cpu;
    struct proc_disks disks[2];
    uint32_t latest; /* of these */
    char text[TEXT_BYTES];
};

/* Until the end of the file or of `room`, NUL-terminated; less than one byte is no text. */
static bool read_text(struct sampler *sampler, int fd, size_t room)
{
    size_t length = 0;
    while (length < room - 1) {
        ssize_t n = pread(fd, sampler->text + length, room - 1 - length, (off_t)length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    sampler->text[length] = '\0';
    return length > 0;
}

static float take_cpu(struct sampler *sampler)
{
    struct proc_cpu now;
    if (!read_text(sampler, sampler->cpu_fd, 1024) || proc_cpu_parse(sampler->text, &now) < 0)
        return 0;
    float use = proc_cpu_use(&sampler->cpu, &now);
    sampler->cpu = now;
    return use;
}

static float take_memory(struct sampler *sampler)
{
    float use;
    if (!read_text(sampler, sampler->memory_fd, 4096) || proc_memory_parse(sampler->text, &use) < 0)
        return 0;
    return use;
}

static float take_disk_busy(struct sampler *sampler, uint64_t elapsed_ms)
{
    if (!read_text(sampler, sampler->disks_fd, TEXT_BYTES))
        return 0;
    uint32_t other = 1 - sampler->latest;
    proc_disks_parse(sampler->text, &sampler->disks[other]);
    float use = proc_disks_use(&sampler->disks[sampler->latest], &sampler->disks[other], elapsed_ms);
    sampler->latest = other;
    return use;
}

/* Space that only root may use counts as used, as df(1) does. */
static int disk_space_use(const char *path, float *ret_use)
{
    struct statvfs space;
    if (statvfs(path, &space) < 0)
        return -errno;
    *ret_use = space.f_blocks == 0 ? 0 : (float)(1 - (double)space.f_bavail / (double)space.f_blocks);
    return 0;
}

static float take_disk(struct sampler *sampler, uint64_t elapsed_ms)
{
    if (sampler->disk == LOAD_DISK_BUSY)
        return take_disk_busy(sampler, elapsed_ms);
    float use = 0; /* what a disk that cannot be read counts as */
    (void)!disk_space_use(sampler->disk_path, &use);
    return use;
}

void sampler_take(struct sampler *sampler, uint64_t now_ns, struct load_sample *ret_sample)
{
    uint64_t elapsed_ms = (now_ns - sampler->at_ns) / NS_PER_MS;
    sampler->at_ns = now_ns;
    ret_sample->part[LOAD_CPU] = take_cpu(sampler);
    ret_sample->part[LOAD_MEMORY] = take_memory(sampler);
    ret_sample->part[LOAD_DISK] = take_disk(sampler, elapsed_ms);
}

int sampler_new(enum load_disk disk, const char *disk_path, uint64_t now_ns, struct sampler **ret_sampler)
{
    float use;
    if (disk == LOAD_DISK_SPACE) {
        int r = disk_space_use(disk_path, &use);
        if (r < 0)
            return r;
    }
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    char *path = strdup(disk == LOAD_DISK_SPACE ? disk_path : "");
    if (sampler == NULL || path == NULL) {
        free(sampler);
        free(path);
        return -ENOMEM;
    }
    sampler->disk = disk;
    sampler->disk_path = path;
    sampler->cpu_fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    sampler->memory_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    sampler->disks_fd = open("/proc/diskstats", O_RDONLY | O_CLOEXEC);
    sampler->at_ns = now_ns;
    struct load_sample first;
    sampler_take(sampler, now_ns, &first);
    *ret_sampler = sampler;
    return 0;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler == NULL)
        return;
    int fds[] = {sampler->cpu_fd, sampler->memory_fd, sampler->disks_fd};
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(sampler->disk_path);
    free(sampler);
}
