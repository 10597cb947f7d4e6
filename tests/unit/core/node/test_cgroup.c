/* Limits of control groups, from texts and from folders made to look like /proc and /sys/fs/cgroup. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/node/cgroup.h"

Test(cgroup, cpu_max_of_something_else_is_refused)
{
    double cpus;
    cr_expect_eq(cgroup_cpu_max_parse("", &cpus), -EINVAL);
    cr_expect_eq(cgroup_cpu_max_parse("100000", &cpus), -EINVAL);
    cr_expect_eq(cgroup_cpu_max_parse("-5 100000", &cpus), -EINVAL);
    cr_expect_eq(cgroup_cpu_max_parse("100000 0", &cpus), -EINVAL);
}

Test(cgroup, cpu_max_is_quota_by_period)
{
    double cpus;
    cr_assert_eq(cgroup_cpu_max_parse("150000 100000\n", &cpus), 0);
    cr_expect_eq(cpus, 1.5);
    cr_assert_eq(cgroup_cpu_max_parse("max 100000\n", &cpus), 0);
    cr_expect(isinf(cpus));
}

Test(cgroup, stat_keys_are_whole_words_at_a_lines_beginning)
{
    uint64_t value;
    const char *text = "total_inactive_file 7\ninactive_file 42\n";
    cr_expect_eq(cgroup_stat_find(text, "file", &value), -ENOENT);
    cr_expect_eq(cgroup_stat_find(text, "inactive", &value), -ENOENT);
    cr_assert_eq(cgroup_stat_find(text, "inactive_file", &value), 0);
    cr_expect_eq(value, 42);
}

Test(cgroup, path_is_found_by_controller)
{
    char path[CGROUP_PATH_BYTES];
    const char *text = "4:memory:/m\n2:cpu,cpuacct:/a:b\n1:name=systemd:/s\n0::/u\n";
    cr_expect_eq(cgroup_path_find(text, "blkio", path), -ENOENT);
    cr_expect_eq(cgroup_path_find(text, "acct", path), -ENOENT);
    cr_assert_eq(cgroup_path_find(text, "cpuacct", path), 0);
    cr_expect_str_eq(path, "/a:b");
    cr_assert_eq(cgroup_path_find(text, "", path), 0);
    cr_expect_str_eq(path, "/u");
}

Test(cgroup, mount_is_found_by_type_and_controller)
{
    char folder[CGROUP_PATH_BYTES], root[CGROUP_PATH_BYTES];
    const char *text = "21 1 0:1 / /proc rw - proc proc rw\n"
                       "32 24 0:28 /docker/1 /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
                       "33 24 0:29 / /sys/fs/cgroup/unified rw shared:10 master:3 - cgroup2 cgroup2 rw,nsdelegate\n";
    cr_expect_eq(cgroup_mount_find(text, "cgroup", "memory", folder, root), -ENOENT);
    cr_assert_eq(cgroup_mount_find(text, "cgroup", "cpu", folder, root), 0);
    cr_expect_str_eq(folder, "/sys/fs/cgroup/cpu,cpuacct");
    cr_expect_str_eq(root, "/docker/1");
    cr_assert_eq(cgroup_mount_find(text, "cgroup2", "", folder, root), 0);
    cr_expect_str_eq(folder, "/sys/fs/cgroup/unified");
}

/* ---- folders ---- */

static char base[] = "/tmp/usher-cgroup-XXXXXX";

static void folder(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    cr_assert_eq(mkdir(path, 0700), 0, "%s", path);
}

static void file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    FILE *stream = fopen(path, "w");
    cr_assert_not_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static void remove_all(void)
{
    char rm[] = "rm", all[] = "-rf";
    char *const arguments[] = {rm, all, base, NULL};
    pid_t child = fork();
    if (child == 0) {
        execvp(rm, arguments);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

/* @ in mountinfo stands for the folder. */
static void make(const char *cgroup, const char *mountinfo)
{
    char text[1024];
    size_t length = 0;
    cr_assert_not_null(mkdtemp(base));
    folder("proc");
    folder("proc/self");
    file("proc/self/cgroup", cgroup);
    for (const char *at = mountinfo; *at; at++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%.*s", *at == '@' ? (int)strlen(base) : 1,
                                   *at == '@' ? base : at);
    text[length] = '\0';
    file("proc/self/mountinfo", text);
    folder("fs");
}

static void find(struct cgroup *ret_cgroup)
{
    char proc[64];
    snprintf(proc, sizeof(proc), "%s/proc", base);
    cgroup_find(proc, ret_cgroup);
}

Test(cgroup, nothing_readable_is_no_limit, .fini = remove_all)
{
    struct cgroup cgroup;
    struct cgroup_use use;
    make("", "");
    find(&cgroup);
    cr_expect(isinf(cgroup.cpus));
    cr_expect_eq(cgroup.memory_bytes, UINT64_MAX);
    cgroup_read(&cgroup, &use);
    cr_expect_eq(use.cpu_us, 0);
    cr_expect_eq(use.memory_bytes, 0);
}

Test(cgroup, version_2_takes_the_least_limit_above, .fini = remove_all)
{
    struct cgroup cgroup;
    struct cgroup_use use;
    make("0::/slice/own\n", "30 1 0:2 / @/fs rw - cgroup2 cgroup2 rw\n");
    folder("fs/slice");
    folder("fs/slice/own");
    file("fs/slice/cpu.max", "50000 100000\n");
    file("fs/slice/cpu.stat", "usage_usec 777\nuser_usec 1\n");
    file("fs/slice/memory.max", "max\n");
    file("fs/slice/own/cpu.max", "max 100000\n");
    file("fs/slice/own/memory.max", "1000000\n");
    file("fs/slice/own/memory.current", "600000\n");
    file("fs/slice/own/memory.stat", "anon 5\ninactive_file 100000\n");
    find(&cgroup);
    cr_expect(cgroup.unified);
    cr_expect_eq(cgroup.cpus, 0.5);
    cr_expect_eq(cgroup.memory_bytes, 1000000);
    cgroup_read(&cgroup, &use);
    cr_expect_eq(use.cpu_us, 777);
    cr_expect_eq(use.memory_bytes, 500000);
}

Test(cgroup, pressure_is_that_of_the_group_with_the_limit, .fini = remove_all)
{
    struct cgroup cgroup;
    char text[64];
    make("0::/slice/own\n", "30 1 0:2 / @/fs rw - cgroup2 cgroup2 rw\n");
    folder("fs/slice");
    folder("fs/slice/own");
    file("fs/slice/cpu.max", "50000 100000\n");
    file("fs/slice/cpu.pressure", "of the slice\n");
    file("fs/slice/own/cpu.pressure", "of its own\n");
    file("fs/slice/own/memory.pressure", "of nobody\n");
    find(&cgroup);
    cr_assert_eq(cgroup_pressure_read(&cgroup, "cpu", text, sizeof(text)), 0);
    cr_expect_str_eq(text, "of the slice\n");
    cr_expect_eq(cgroup_pressure_read(&cgroup, "memory", text, sizeof(text)), -ENOENT, "no limit");
    cr_expect_eq(cgroup_pressure_read(&cgroup, "io", text, sizeof(text)), -ENOENT);
}

Test(cgroup, version_1_has_a_hierarchy_for_each, .fini = remove_all)
{
    struct cgroup cgroup;
    struct cgroup_use use;
    make("4:memory:/docker/1\n3:cpu:/docker/1\n2:cpuacct:/docker/1\n",
         "30 1 0:2 /docker/1 @/fs/cpu rw - cgroup cgroup rw,cpu\n31 1 0:3 /docker/1 @/fs/acct rw - cgroup cgroup rw,cpuacct\n"
         "32 1 0:4 /docker/1 @/fs/memory rw - cgroup cgroup rw,memory\n");
    folder("fs/cpu");
    folder("fs/acct");
    folder("fs/memory");
    file("fs/cpu/cpu.cfs_quota_us", "300000\n");
    file("fs/cpu/cpu.cfs_period_us", "100000\n");
    file("fs/acct/cpuacct.usage", "5000000\n");
    file("fs/memory/memory.limit_in_bytes", "9223372036854771712\n");
    find(&cgroup);
    cr_expect_not(cgroup.unified);
    cr_expect_eq(cgroup.cpus, 3);
    cr_expect_eq(cgroup.memory_bytes, UINT64_MAX, "the largest number means none");
    cgroup_read(&cgroup, &use);
    cr_expect_eq(use.cpu_us, 5000);
    file("fs/cpu/cpu.cfs_quota_us", "-1\n");
    find(&cgroup);
    cr_expect(isinf(cgroup.cpus));
}
