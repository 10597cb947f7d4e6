#include "core/node/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What memory.limit_in_bytes says when there is none: the largest multiple of a page below 2^63. */
#define CGROUP_V1_UNLIMITED (UINT64_C(1) << 62)

#define TEXT_BYTES 65536u

/* ---- text ---- */

int cgroup_cpu_max_parse(const char *text, double *ret_cpus)
{
    char *end;
    if (strncmp(text, "max", 3) == 0) {
        *ret_cpus = INFINITY;
        return 0;
    }
    double quota = strtod(text, &end);
    if (end == text)
        return -EINVAL;
    double period = strtod(end, &end);
    if (!(quota > 0) || !(period > 0))
        return -EINVAL;
    *ret_cpus = quota / period;
    return 0;
}

int cgroup_stat_find(const char *text, const char *key, uint64_t *ret_value)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL;) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            *ret_value = strtoull(line + length + 1, NULL, 10);
            return 0;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return -ENOENT;
}

/* Whether the word is one of a list separated by commas, which ends at `end`. */
static bool list_has(const char *list, const char *end, const char *word)
{
    size_t length = strlen(word);
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t item = (size_t)((comma != NULL ? comma : end) - list);
        if (item == length && memcmp(list, word, length) == 0)
            return true;
        list += item + 1;
    }
    return false;
}

static int path_copy(const char *from, size_t length, char ret_path[static CGROUP_PATH_BYTES])
{
    if (length >= CGROUP_PATH_BYTES)
        return -ENAMETOOLONG;
    memcpy(ret_path, from, length);
    ret_path[length] = '\0';
    return 0;
}

int cgroup_path_find(const char *text, const char *controller, char ret_path[static CGROUP_PATH_BYTES])
{
    /* hierarchy:controllers:path */
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        const char *first = memchr(line, ':', (size_t)(end - line));
        const char *second = first != NULL ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
        bool found = second != NULL && (*controller == '\0' ? second == first + 1 : list_has(first + 1, second, controller));
        if (found)
            return path_copy(second + 1, (size_t)(end - second - 1), ret_path);
        line = *end == '\n' ? end + 1 : NULL;
    }
    return -ENOENT;
}

/* A line of mountinfo: id parent major:minor root mount-point options [tags…] - type source super-options (proc(5)). */
static bool mount_matches(char *line, const char *type, const char *controller, char **ret_root, char **ret_folder)
{
    char *words[64];
    uint32_t count = 0;
    char *rest = line;
    for (char *word; count < 64 && (word = strsep(&rest, " ")) != NULL;)
        words[count++] = word;
    uint32_t dash = 6;
    while (dash < count && strcmp(words[dash], "-") != 0)
        dash++;
    if (dash + 3 >= count || strcmp(words[dash + 1], type) != 0)
        return false;
    const char *options = words[dash + 3];
    if (*controller != '\0' && !list_has(options, options + strlen(options), controller))
        return false;
    *ret_root = words[3];
    *ret_folder = words[4];
    return true;
}

int cgroup_mount_find(const char *text, const char *type, const char *controller, char ret_folder[static CGROUP_PATH_BYTES],
                      char ret_root[static CGROUP_PATH_BYTES])
{
    char line[4 * CGROUP_PATH_BYTES];
    for (const char *at = text; at != NULL && *at != '\0';) {
        const char *end = strchrnul(at, '\n');
        size_t length = (size_t)(end - at);
        char *root, *folder;
        if (length < sizeof(line)) {
            memcpy(line, at, length);
            line[length] = '\0';
            if (mount_matches(line, type, controller, &root, &folder)) {
                int error = path_copy(folder, strlen(folder), ret_folder);
                return error < 0 ? error : path_copy(root, strlen(root), ret_root);
            }
        }
        at = *end == '\n' ? end + 1 : NULL;
    }
    return -ENOENT;
}

/* ---- files ---- */

static int text_read(const char *folder, const char *name, char *text, size_t capacity)
{
    char path[CGROUP_PATH_BYTES + 64];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = 0;
    for (ssize_t got; length < capacity - 1 && (got = read(fd, text + length, capacity - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    (void)close(fd);
    return length > 0 ? 0 : -ENODATA;
}

static int number_read(const char *folder, const char *name, uint64_t *ret_number)
{
    char text[64];
    char *end;
    int error = text_read(folder, name, text, sizeof(text));
    if (error < 0)
        return error;
    uint64_t number = strtoull(text, &end, 10);
    if (end == text || text[0] == '-')
        return -EINVAL; /* "max", or -1: no limit */
    *ret_number = number;
    return 0;
}

/* The group's folder. A container often sees only its own part of the hierarchy, at the mount's root. */
static int folder_find(const char *proc_root, const char *controller, bool unified, char *text,
                       char ret_mount[static CGROUP_PATH_BYTES], char ret_folder[static CGROUP_PATH_BYTES])
{
    char path[CGROUP_PATH_BYTES], root[CGROUP_PATH_BYTES];
    int error = text_read(proc_root, "self/cgroup", text, TEXT_BYTES);
    if (error == 0)
        error = cgroup_path_find(text, unified ? "" : controller, path);
    if (error == 0)
        error = text_read(proc_root, "self/mountinfo", text, TEXT_BYTES);
    if (error == 0)
        error = cgroup_mount_find(text, unified ? "cgroup2" : "cgroup", unified ? "" : controller, ret_mount, root);
    if (error < 0)
        return error;
    size_t root_length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(path, root, root_length) == 0 ? path + root_length : "";
    char folder[2 * CGROUP_PATH_BYTES];
    snprintf(folder, sizeof(folder), "%s%s", ret_mount, below);
    if (access(folder, X_OK) < 0)
        snprintf(folder, sizeof(folder), "%s", ret_mount);
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        folder[--length] = '\0';
    return path_copy(folder, length, ret_folder);
}

/* The group above, within the mount. False: there is none. */
static bool folder_up(const char *mount, char folder[static CGROUP_PATH_BYTES])
{
    char *slash = strrchr(folder, '/');
    if (strcmp(folder, mount) == 0 || slash == NULL || (size_t)(slash - folder) < strlen(mount))
        return false;
    *slash = '\0';
    return true;
}

static double cpu_limit_read(const char *folder, bool unified)
{
    char text[128];
    uint64_t quota, period;
    double cpus;
    if (unified)
        return text_read(folder, "cpu.max", text, sizeof(text)) == 0 && cgroup_cpu_max_parse(text, &cpus) == 0 ? cpus : INFINITY;
    if (number_read(folder, "cpu.cfs_quota_us", &quota) < 0 || number_read(folder, "cpu.cfs_period_us", &period) < 0 ||
        period == 0)
        return INFINITY;
    return (double)quota / (double)period;
}

static uint64_t memory_limit_read(const char *folder, bool unified)
{
    uint64_t limit;
    if (number_read(folder, unified ? "memory.max" : "memory.limit_in_bytes", &limit) < 0 || limit >= CGROUP_V1_UNLIMITED)
        return UINT64_MAX;
    return limit;
}

/* The use that counts is that of the group whose limit holds. */
static void cpu_find(const char *mount, const char *own, struct cgroup *cgroup)
{
    char folder[CGROUP_PATH_BYTES];
    memcpy(folder, own, sizeof(folder));
    do {
        double cpus = cpu_limit_read(folder, cgroup->unified);
        if (cpus >= cgroup->cpus)
            continue;
        cgroup->cpus = cpus;
        memcpy(cgroup->cpu, folder, sizeof(folder));
    } while (folder_up(mount, folder));
}

static void memory_find(const char *mount, const char *own, struct cgroup *cgroup)
{
    char folder[CGROUP_PATH_BYTES];
    memcpy(folder, own, sizeof(folder));
    do {
        uint64_t limit = memory_limit_read(folder, cgroup->unified);
        if (limit >= cgroup->memory_bytes)
            continue;
        cgroup->memory_bytes = limit;
        memcpy(cgroup->memory, folder, sizeof(folder));
    } while (folder_up(mount, folder));
}

/* Version 1 may count time in another hierarchy than the one that limits it. */
static void cpu_use_find(const char *proc_root, const char *mount, char *text, struct cgroup *cgroup)
{
    char use_mount[CGROUP_PATH_BYTES], own[CGROUP_PATH_BYTES];
    if (cgroup->cpu[0] == '\0')
        return;
    if (cgroup->unified) {
        memcpy(cgroup->cpu_use, cgroup->cpu, sizeof(cgroup->cpu));
        return;
    }
    if (folder_find(proc_root, "cpuacct", false, text, use_mount, own) < 0)
        return;
    const char *below = cgroup->cpu + strlen(mount);
    char folder[2 * CGROUP_PATH_BYTES];
    snprintf(folder, sizeof(folder), "%s%s", use_mount, below);
    if (access(folder, X_OK) == 0)
        (void)!path_copy(folder, strlen(folder), cgroup->cpu_use);
}

void cgroup_find(const char *proc_root, struct cgroup *ret_cgroup)
{
    char mount[CGROUP_PATH_BYTES], own[CGROUP_PATH_BYTES];
    char *text = malloc(TEXT_BYTES);
    *ret_cgroup = (struct cgroup){.cpus = INFINITY, .memory_bytes = UINT64_MAX};
    if (text == NULL)
        return;
    /* A machine may have both; the controllers are in one of them. */
    for (int unified = 1; unified >= 0 && ret_cgroup->cpu[0] == '\0' && ret_cgroup->memory[0] == '\0'; unified--) {
        ret_cgroup->unified = unified == 1;
        if (folder_find(proc_root, "cpu", ret_cgroup->unified, text, mount, own) == 0) {
            cpu_find(mount, own, ret_cgroup);
            cpu_use_find(proc_root, mount, text, ret_cgroup);
        }
        if (folder_find(proc_root, "memory", ret_cgroup->unified, text, mount, own) == 0)
            memory_find(mount, own, ret_cgroup);
    }
    free(text);
}

static uint64_t memory_use_read(const struct cgroup *cgroup)
{
    char text[8192];
    uint64_t used, cached = 0;
    if (number_read(cgroup->memory, cgroup->unified ? "memory.current" : "memory.usage_in_bytes", &used) < 0)
        return 0;
    if (text_read(cgroup->memory, "memory.stat", text, sizeof(text)) == 0 &&
        cgroup_stat_find(text, cgroup->unified ? "inactive_file" : "total_inactive_file", &cached) < 0)
        cached = 0;
    return used > cached ? used - cached : 0;
}

void cgroup_read(const struct cgroup *cgroup, struct cgroup_use *ret_use)
{
    char text[4096];
    uint64_t value;
    *ret_use = (struct cgroup_use){.cpu_us = 0};
    if (cgroup->cpu_use[0] != '\0' && cgroup->unified) {
        if (text_read(cgroup->cpu_use, "cpu.stat", text, sizeof(text)) == 0 && cgroup_stat_find(text, "usage_usec", &value) == 0)
            ret_use->cpu_us = value;
    } else if (cgroup->cpu_use[0] != '\0' && number_read(cgroup->cpu_use, "cpuacct.usage", &value) == 0) {
        ret_use->cpu_us = value / 1000;
    }
    if (cgroup->memory[0] != '\0')
        ret_use->memory_bytes = memory_use_read(cgroup);
}

int cgroup_pressure_read(const struct cgroup *cgroup, const char *controller, char *ret_text, size_t capacity)
{
    char name[32];
    const char *folder = "";
    if (cgroup->unified && strcmp(controller, "cpu") == 0)
        folder = cgroup->cpu;
    else if (cgroup->unified && strcmp(controller, "memory") == 0)
        folder = cgroup->memory;
    if (*folder == '\0')
        return -ENOENT;
    snprintf(name, sizeof(name), "%s.pressure", controller);
    return text_read(folder, name, ret_text, capacity);
}
