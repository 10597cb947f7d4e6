/* cgroup - the limits of the control group that this process runs in, and its use, where it has limits (versions 1 and 2): inside a
 * container they say more than the machine's numbers.
 *
 * Limits of all groups above count too: the least is what holds. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and
 * cgroup-v1. The parsers are pure; cgroup_find and cgroup_read read files of /proc and of the cgroup file systems, which waits for
 * no device. Thread: one owner of a struct cgroup. Memory: no allocation but paths inside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

#define CGROUP_PATH_BYTES 512

struct cgroup {
    bool unified; /* version 2 */
    char cpu[CGROUP_PATH_BYTES]; /* folders; "": no such controller, or no limit */
    char cpu_use[CGROUP_PATH_BYTES]; /* where its time is counted */
    char memory[CGROUP_PATH_BYTES];
    double cpus; /* the limit in CPUs; INFINITY: none */
    uint64_t memory_bytes; /* the limit; UINT64_MAX: none */
};

struct cgroup_use {
    uint64_t cpu_us; /* time used since the group was made */
    uint64_t memory_bytes; /* without page cache that can be dropped at once */
};

/* Looks where this process runs and what limits it has there. proc_root: "/proc", or a test's folder. What can't be read is no limit. */
void cgroup_find(const char *proc_root, struct cgroup *ret_cgroup);

/* Only what has a limit is read; the rest is 0. */
void cgroup_read(const struct cgroup *cgroup, struct cgroup_use *ret_use);

/* The text of the controller's pressure file ("cpu", "memory") of the group that limits it, for proc_pressure_parse. -ENOENT: no limit, or
 * version 1, which has none; other errors of open(2) and read(2). */
NODISCARD int cgroup_pressure_read(const struct cgroup *cgroup, const char *controller, char *ret_text, size_t capacity);

/* "max 100000", "150000 100000": CPUs, INFINITY for max. -EINVAL. */
NODISCARD int cgroup_cpu_max_parse(const char *text, double *ret_cpus);

/* The number behind a key at the beginning of a line ("inactive_file"). -ENOENT. */
NODISCARD int cgroup_stat_find(const char *text, const char *key, uint64_t *ret_value);

/* The path of a controller in the text of /proc/self/cgroup; "" names version 2's only hierarchy. -ENOENT. */
NODISCARD int cgroup_path_find(const char *text, const char *controller, char ret_path[static CGROUP_PATH_BYTES]);

/* Where a hierarchy is mounted, from the text of /proc/self/mountinfo: type "cgroup2", or "cgroup" with the controller among its
 * options. ret_root: the part of the hierarchy that is mounted there ("/" for all of it). -ENOENT. */
NODISCARD int cgroup_mount_find(const char *text, const char *type, const char *controller,
                                char ret_folder[static CGROUP_PATH_BYTES], char ret_root[static CGROUP_PATH_BYTES]);
