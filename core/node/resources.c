#include "core/node/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/node/cgroup.h"
#include "core/node/proc.h"
#include "core/node/proc_net.h"

/* 256 disks with their partitions. /proc/stat is longer on large machines; only its first line counts. */
#define TEXT_BYTES 65536u

/* How often limits, interfaces and their speeds are looked at anew. */
#define CAPACITY_LOOK_NS (10 * NS_PER_S)

#define MBIT_PER_MB 8

const char *const resource_names[RESOURCES] = {
    [RESOURCE_CPU_CORES] = "cpu_cores",
    [RESOURCE_MEMORY_GB] = "memory_gb",
    [RESOURCE_DISK_READ_CAPACITY] = "disk_read_capacity",
    [RESOURCE_DISK_WRITE_CAPACITY] = "disk_write_capacity",
    [RESOURCE_NIC_IN_CAPACITY] = "nic_in_capacity",
    [RESOURCE_NIC_OUT_CAPACITY] = "nic_out_capacity",
    [RESOURCE_DISK_READ] = "disk_read",
    [RESOURCE_DISK_WRITE] = "disk_write",
    [RESOURCE_NIC_IN] = "nic_in",
    [RESOURCE_NIC_OUT] = "nic_out",
    [RESOURCE_PRESSURE_CPU] = "pressure_cpu",
    [RESOURCE_PRESSURE_MEMORY] = "pressure_memory",
    [RESOURCE_PRESSURE_IO] = "pressure_io",
};

enum source {
    SOURCE_CPU,
    SOURCE_MEMORY,
    SOURCE_DISKS,
    SOURCE_NET,
    SOURCE_PRESSURE_CPU,
    SOURCE_PRESSURE_MEMORY,
    SOURCE_PRESSURE_IO,
    SOURCES,
};

static const char *const source_paths[SOURCES] = {
    [SOURCE_CPU] = "/proc/stat",
    [SOURCE_MEMORY] = "/proc/meminfo",
    [SOURCE_DISKS] = "/proc/diskstats",
    [SOURCE_NET] = "/proc/net/dev",
    [SOURCE_PRESSURE_CPU] = "/proc/pressure/cpu",
    [SOURCE_PRESSURE_MEMORY] = "/proc/pressure/memory",
    [SOURCE_PRESSURE_IO] = "/proc/pressure/io",
};

struct reading {
    struct proc_cpu cpu;
    struct proc_disks disks;
    struct proc_net net;
    struct cgroup_use group;
};

struct resources {
    struct resources_config config;
    char *disk_path;
    int fds[SOURCES]; /* kept open: reading at 0 gives new numbers */
    uint64_t at_ns; /* of the latest reading */
    uint64_t looked_ns; /* when capacities were last looked at */
    struct cgroup group;
    double machine_cpus;
    struct reading readings[2];
    uint32_t latest; /* of these */
    struct resource_report report;
    char text[TEXT_BYTES];
};

/* Until the end of the file or of `room`, NUL-terminated; less than one byte is no text. */
static bool read_text(struct resources *resources, enum source source, size_t room)
{
    size_t length = 0;
    while (length < room - 1) {
        ssize_t n = pread(resources->fds[source], resources->text + length, room - 1 - length, (off_t)length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    resources->text[length] = '\0';
    return length > 0;
}

static void report_set(struct resources *resources, enum resource resource, double value)
{
    resources->report.known |= 1u << resource;
    resources->report.value[resource] = value > 0 ? (float)value : 0;
}

/* ---- what there is ---- */

static double cpus_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (double)count : 1;
}

/* Mbit/s, or 0: not known. Virtual interfaces often say −1, or that they can't. */
static uint32_t nic_speed(const char *name)
{
    char path[PROC_NET_NAME_BYTES + 32];
    char text[32] = "";
    snprintf(path, sizeof(path), "/sys/class/net/%s/speed", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    long speed = length > 0 ? strtol(text, NULL, 10) : 0;
    return speed > 0 && speed < INT32_MAX ? (uint32_t)speed : 0;
}

/* A part of a bond, of a bridge or of a team would count twice, and so would what runs on top of another interface. */
static bool nic_is_real(const char *name)
{
    char path[PROC_NET_NAME_BYTES + 32];
    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    return access(path, F_OK) == 0;
}

/* Machines' own interfaces, or, where there is none, as in a container, all. */
static void nics_keep_real(struct proc_net *net)
{
    uint32_t count = 0;
    struct proc_net_interface *interfaces = net->interfaces;
    for (uint32_t i = 0; i < net->count; i++)
        count += nic_is_real(interfaces[i].name);
    if (count == 0)
        return;
    count = 0;
    for (uint32_t i = 0; i < net->count; i++)
        if (nic_is_real(interfaces[i].name))
            interfaces[count++] = interfaces[i];
    net->count = count;
}

/* Known when every interface that has moved anything tells its speed. */
static void nics_look(struct resources *resources)
{
    const struct proc_net *net = &resources->readings[resources->latest].net;
    uint64_t speed = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        const struct proc_net_interface *interface = &net->interfaces[i];
        uint32_t own = nic_speed(interface->name);
        if (own == 0 && interface->received_bytes + interface->sent_bytes > 0)
            return;
        speed += own;
    }
    if (speed == 0)
        return;
    report_set(resources, RESOURCE_NIC_IN_CAPACITY, (double)speed / MBIT_PER_MB);
    report_set(resources, RESOURCE_NIC_OUT_CAPACITY, (double)speed / MBIT_PER_MB);
}

static void capacities_look(struct resources *resources, uint64_t now_ns)
{
    resources->looked_ns = now_ns;
    cgroup_find("/proc", &resources->group);
    resources->machine_cpus = cpus_allowed();
    double cpus = resources->machine_cpus;
    if (resources->group.cpus < cpus)
        cpus = resources->group.cpus;
    report_set(resources, RESOURCE_CPU_CORES, cpus);
    nics_look(resources);
    for (uint32_t i = 0; i < RESOURCE_CAPACITIES; i++)
        if (resources->config.capacity[i] > 0)
            report_set(resources, (enum resource)i, (double)resources->config.capacity[i]);
}

/* ---- what is used ---- */

static float clamp_share(double share)
{
    if (!(share > 0))
        return 0;
    return share < 1 ? (float)share : 1;
}

static float take_cpu(struct resources *resources, struct reading *now, const struct reading *before, uint64_t elapsed_ns)
{
    double limit = resources->group.cpus;
    if (read_text(resources, SOURCE_CPU, 1024) && proc_cpu_parse(resources->text, &now->cpu) < 0)
        now->cpu = before->cpu;
    float machine = proc_cpu_use(&before->cpu, &now->cpu);
    if (!(limit < resources->machine_cpus) || elapsed_ns == 0 || now->group.cpu_us < before->group.cpu_us)
        return machine;
    double used_ns = (double)(now->group.cpu_us - before->group.cpu_us) * (double)NS_PER_US;
    float group = clamp_share(used_ns / ((double)elapsed_ns * limit));
    /* A full machine leaves a group nothing, however little of its own share it has used. */
    return machine >= 1 ? machine : group;
}

static float take_memory(struct resources *resources, const struct reading *now)
{
    struct proc_memory memory = {.total_bytes = 0};
    uint64_t limit = resources->group.memory_bytes;
    if (!read_text(resources, SOURCE_MEMORY, 4096) || proc_memory_parse(resources->text, &memory) < 0)
        return 0;
    if (limit < memory.total_bytes)
        memory = (struct proc_memory){.total_bytes = limit, .used_bytes = now->group.memory_bytes};
    if (!(resources->config.capacity[RESOURCE_MEMORY_GB] > 0))
        report_set(resources, RESOURCE_MEMORY_GB, (double)memory.total_bytes / 1e9);
    return clamp_share((double)memory.used_bytes / (double)memory.total_bytes);
}

/* MB/s, an exponentially weighted mean over about the window. */
static void throughput_take(struct resources *resources, enum resource resource, uint64_t bytes, uint64_t elapsed_ns)
{
    float *mean = &resources->report.value[resource];
    if (elapsed_ns == 0) {
        report_set(resources, resource, 0);
        return;
    }
    double now = (double)bytes / 1e6 / ((double)elapsed_ns / (double)NS_PER_S);
    double share = (double)elapsed_ns / (double)(elapsed_ns + resources->config.window_ns);
    *mean += (float)(share * (now - (double)*mean));
    resources->report.latest[resource] = (float)now;
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

static float take_disks(struct resources *resources, struct reading *now, const struct reading *before, uint64_t elapsed_ns)
{
    uint64_t read, written;
    float use = 0; /* what a disk that cannot be read counts as */
    now->disks.count = 0;
    if (read_text(resources, SOURCE_DISKS, TEXT_BYTES)) {
        proc_disks_parse(resources->text, &now->disks);
        proc_disks_moved(&before->disks, &now->disks, &read, &written);
        throughput_take(resources, RESOURCE_DISK_READ, read, elapsed_ns);
        throughput_take(resources, RESOURCE_DISK_WRITE, written, elapsed_ns);
    }
    if (resources->config.disk == LOAD_DISK_SPACE)
        (void)!disk_space_use(resources->disk_path, &use);
    else
        use = proc_disks_use(&before->disks, &now->disks, elapsed_ns / NS_PER_MS);
    return use;
}

static void take_net(struct resources *resources, struct reading *now, const struct reading *before, uint64_t elapsed_ns)
{
    uint64_t received, sent;
    now->net.count = 0;
    if (!read_text(resources, SOURCE_NET, TEXT_BYTES))
        return;
    proc_net_parse(resources->text, &now->net);
    nics_keep_real(&now->net);
    proc_net_moved(&before->net, &now->net, &received, &sent);
    throughput_take(resources, RESOURCE_NIC_IN, received, elapsed_ns);
    throughput_take(resources, RESOURCE_NIC_OUT, sent, elapsed_ns);
}

/* Of the control group where that limits the controller, else of the machine. */
static void take_pressure(struct resources *resources, enum source source, const char *controller, enum resource resource)
{
    float share;
    bool told = cgroup_pressure_read(&resources->group, controller, resources->text, TEXT_BYTES) == 0 ||
                read_text(resources, source, 256);
    if (told && proc_pressure_parse(resources->text, &share) == 0)
        report_set(resources, resource, (double)share);
}

void resources_take(struct resources *resources, uint64_t now_ns, struct load_sample *ret_sample)
{
    uint64_t elapsed_ns = now_ns - resources->at_ns;
    const struct reading *before = &resources->readings[resources->latest];
    struct reading *now = &resources->readings[1 - resources->latest];
    resources->at_ns = now_ns;
    cgroup_read(&resources->group, &now->group);
    ret_sample->part[LOAD_CPU] = take_cpu(resources, now, before, elapsed_ns);
    ret_sample->part[LOAD_MEMORY] = take_memory(resources, now);
    ret_sample->part[LOAD_DISK] = take_disks(resources, now, before, elapsed_ns);
    take_net(resources, now, before, elapsed_ns);
    take_pressure(resources, SOURCE_PRESSURE_CPU, "cpu", RESOURCE_PRESSURE_CPU);
    take_pressure(resources, SOURCE_PRESSURE_MEMORY, "memory", RESOURCE_PRESSURE_MEMORY);
    take_pressure(resources, SOURCE_PRESSURE_IO, "io", RESOURCE_PRESSURE_IO);
    resources->latest = 1 - resources->latest;
    if (now_ns - resources->looked_ns >= CAPACITY_LOOK_NS)
        capacities_look(resources, now_ns);
}

const struct resource_report *resources_report(const struct resources *resources)
{
    return &resources->report;
}

/* ---- life ---- */

static void sources_open(struct resources *resources)
{
    for (uint32_t i = 0; i < SOURCES; i++)
        resources->fds[i] = open(source_paths[i], O_RDONLY | O_CLOEXEC);
}

int resources_new(const struct resources_config *config, uint64_t now_ns, struct resources **ret_resources)
{
    float use;
    bool space = config->disk == LOAD_DISK_SPACE;
    int error = space ? disk_space_use(config->disk_path, &use) : 0;
    if (error < 0)
        return error;
    struct resources *resources = calloc(1, sizeof(*resources));
    char *path = strdup(space ? config->disk_path : "");
    if (resources == NULL || path == NULL) {
        free(resources);
        free(path);
        return -ENOMEM;
    }
    resources->config = *config;
    resources->config.disk_path = NULL;
    resources->disk_path = path;
    resources->at_ns = now_ns;
    sources_open(resources);
    cgroup_find("/proc", &resources->group);
    struct load_sample first;
    resources_take(resources, now_ns, &first);
    capacities_look(resources, now_ns);
    *ret_resources = resources;
    return 0;
}

void resources_free(struct resources *resources)
{
    if (resources == NULL)
        return;
    for (uint32_t i = 0; i < SOURCES; i++)
        if (resources->fds[i] >= 0)
            (void)close(resources->fds[i]);
    free(resources->disk_path);
    free(resources);
}
