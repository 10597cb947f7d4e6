#include "bench/load/cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/macros.h"

#define CPU_INODES_MAX 64 /* sockets of one port: a server has one per core */
#define CPU_TCP_LISTEN 0x0a /* state in /proc/net/tcp; a UDP socket that is not connected has 07 */
#define CPU_UDP_UNCONNECTED 0x07

struct cpu_inodes {
    uint32_t count;
    uint64_t item[CPU_INODES_MAX];
};

/* Only then can the process be in our /proc: whoever has the same port here is somebody else. */
static bool cpu_address_is_here(const struct address *address)
{
    struct sockaddr_storage name;
    struct address any_port = *address;
    any_port.port = 0;
    socklen_t length = address_to_socket(&any_port, &name);
    int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool here = bind(fd, (const struct sockaddr *)&name, length) == 0;
    close(fd);
    return here;
}

/* "0100007F:1CE8": each group of four bytes is one number in the machine's byte order. */
static bool cpu_local_matches(const char *hexadecimal, const struct address *address)
{
    char wanted[40], wildcard[40];
    uint32_t group[4];
    size_t groups = address->family == ADDRESS_IPV6 ? 4 : 1, used = 0;
    memcpy(group, address->ip, sizeof(group));
    for (size_t i = 0; i < groups; i++, used += 8) {
        snprintf(wanted + used, sizeof(wanted) - used, "%08" PRIX32, group[i]);
        snprintf(wildcard + used, sizeof(wildcard) - used, "%08d", 0);
    }
    return strcmp(hexadecimal, wanted) == 0 || strcmp(hexadecimal, wildcard) == 0;
}

static void cpu_read_inodes(const char *path, const struct address *address, unsigned state, struct cpu_inodes *inodes)
{
    char line[512], local[64];
    unsigned port, line_state;
    uint64_t inode;
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, " %*[0-9]: %63[0-9A-F]:%x %*[0-9A-F:] %x %*s %*s %*s %*s %*s %" SCNu64, local, &port, &line_state,
                   &inode) == 4 &&
            port == address->port && line_state == state && inodes->count < CPU_INODES_MAX && cpu_local_matches(local, address))
            inodes->item[inodes->count++] = inode;
    }
    fclose(file);
}

static bool cpu_process_has(const char *pid, const struct cpu_inodes *inodes)
{
    char path[64], target[64];
    struct dirent *entry;
    bool has = false;
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return false;
    while (!has && (entry = readdir(folder))) {
        uint64_t inode;
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
            for (uint32_t i = 0; i < inodes->count; i++)
                has = has || inodes->item[i] == inode;
    }
    closedir(folder);
    return has;
}

pid_t cpu_find_server(const struct address *address, bool tcp)
{
    struct cpu_inodes inodes = {0};
    struct dirent *entry;
    pid_t found = 0;
    if (!cpu_address_is_here(address))
        return 0;
    if (address->family == ADDRESS_IPV4)
        cpu_read_inodes(tcp ? "/proc/net/tcp" : "/proc/net/udp", address, tcp ? CPU_TCP_LISTEN : CPU_UDP_UNCONNECTED, &inodes);
    else
        cpu_read_inodes(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", address, tcp ? CPU_TCP_LISTEN : CPU_UDP_UNCONNECTED, &inodes);
    DIR *folder = inodes.count ? opendir("/proc") : NULL;
    if (!folder)
        return 0;
    while (found == 0 && (entry = readdir(folder)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && cpu_process_has(entry->d_name, &inodes))
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    closedir(folder);
    return found;
}

void cpu_find_servers(const struct address *addresses, uint32_t count, bool tcp, struct cpu_servers *ret_servers)
{
    struct cpu_servers servers = {0};
    for (uint32_t i = 0; i < count; i++) {
        pid_t pid = cpu_find_server(&addresses[i], tcp);
        bool known = pid == 0;
        for (uint32_t j = 0; j < servers.count; j++)
            known = known || servers.pid[j] == pid;
        if (!known)
            servers.pid[servers.count++] = pid;
        if (pid == 0) {
            servers.count = 0;
            break;
        }
    }
    *ret_servers = servers;
}

/* schedstat counts nanoseconds; the ticks of stat are too coarse for a short run. */
static bool cpu_thread_read(pid_t pid, const char *thread, uint64_t *ret_run_ns)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fscanf(file, "%" SCNu64, ret_run_ns) == 1;
    fclose(file);
    return read;
}

void cpu_sample_take(pid_t pid, struct cpu_sample *ret_sample)
{
    char path[64];
    struct dirent *entry;
    ret_sample->thread_count = 0;
    if (pid <= 0)
        return;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    while (ret_sample->thread_count < CPU_THREADS_MAX && (entry = readdir(folder))) {
        struct cpu_thread *thread = &ret_sample->thread[ret_sample->thread_count];
        if (entry->d_name[0] == '.' || !cpu_thread_read(pid, entry->d_name, &thread->run_ns))
            continue;
        thread->id = (pid_t)strtol(entry->d_name, NULL, 10);
        ret_sample->thread_count++;
    }
    closedir(folder);
}

static uint64_t cpu_run_ns_of(const struct cpu_sample *sample, pid_t thread)
{
    for (uint32_t i = 0; i < sample->thread_count; i++)
        if (sample->thread[i].id == thread)
            return sample->thread[i].run_ns;
    return 0;
}

struct cpu_use cpu_use_between(const struct cpu_sample *begin, const struct cpu_sample *end)
{
    struct cpu_use use = {.process_ns = -1, .busiest_ns = -1};
    if (begin->thread_count == 0 || end->thread_count == 0)
        return use;
    use.process_ns = 0;
    for (uint32_t i = 0; i < end->thread_count; i++) {
        double used_ns = (double)(end->thread[i].run_ns - cpu_run_ns_of(begin, end->thread[i].id));
        use.process_ns += used_ns;
        if (used_ns > use.busiest_ns)
            use.busiest_ns = used_ns;
    }
    return use;
}

struct cpu_own cpu_own_now(void)
{
    struct timespec time;
    struct cpu_own own = {0};
    uint64_t run_ns;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file && fscanf(file, "%" SCNu64 " %" SCNu64, &run_ns, &own.wait_ns) != 2)
        own.wait_ns = 0;
    if (file)
        fclose(file);
    own.run_ns = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
    return own;
}

void cpu_watch_begin(struct cpu_watch *watch, const struct cpu_servers *servers)
{
    for (uint32_t i = 0; i < servers->count; i++)
        cpu_sample_take(servers->pid[i], &watch->begin[i]);
}

struct cpu_use cpu_watch_end(struct cpu_watch *watch, const struct cpu_servers *servers)
{
    const struct cpu_use unknown = {.process_ns = -1, .busiest_ns = -1};
    struct cpu_use all = {0};
    for (uint32_t i = 0; i < servers->count; i++) {
        cpu_sample_take(servers->pid[i], &watch->end[i]);
        struct cpu_use one = cpu_use_between(&watch->begin[i], &watch->end[i]);
        if (one.process_ns < 0)
            return unknown;
        all.process_ns += one.process_ns;
        if (one.busiest_ns > all.busiest_ns)
            all.busiest_ns = one.busiest_ns;
    }
    return servers->count > 0 ? all : unknown;
}
