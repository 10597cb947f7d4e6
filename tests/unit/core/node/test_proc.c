/* What /proc says, from texts of real machines. */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/node/proc.h"

Test(proc, cpu_text_of_something_else_is_refused)
{
    struct proc_cpu cpu;
    cr_expect_eq(proc_cpu_parse("", &cpu), -EINVAL);
    cr_expect_eq(proc_cpu_parse("intr 1 2 3", &cpu), -EINVAL);
    cr_expect_eq(proc_cpu_parse("cpu  1 2 3", &cpu), -EINVAL);
    cr_expect_eq(proc_cpu_parse("cpu  1 2 3 x 5 6 7 8", &cpu), -EINVAL);
}

Test(proc, memory_text_of_something_else_is_refused)
{
    float use;
    cr_expect_eq(proc_memory_parse("", &use), -EINVAL);
    cr_expect_eq(proc_memory_parse("MemTotal: 100 kB\n", &use), -EINVAL);
    cr_expect_eq(proc_memory_parse("MemTotal: 0 kB\nMemAvailable: 0 kB\n", &use), -EINVAL);
}

Test(proc, disks_text_of_something_else_has_no_disks)
{
    struct proc_disks disks;
    proc_disks_parse("", &disks);
    cr_expect_eq(disks.count, 0);
    proc_disks_parse("\n\nhello\n 8 0\n", &disks);
    cr_expect_eq(disks.count, 0);
}

Test(proc, cpu_use_is_the_share_of_time_not_idle)
{
    struct proc_cpu earlier, later;
    cr_assert_eq(proc_cpu_parse("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2\n", &earlier), 0);
    cr_assert_eq(proc_cpu_parse("cpu  120 5 110 750 110 2 1 2 60 0\ncpu0 1 2\n", &later), 0);
    cr_expect_eq(earlier.total, 1000);
    cr_expect_eq(earlier.busy, 200);
    cr_expect_float_eq(proc_cpu_use(&earlier, &later), 40.0 / 100, 1e-6);
}

Test(proc, cpu_use_of_counters_that_step_back_is_zero)
{
    struct proc_cpu earlier = {.busy = 100, .total = 200}, later = {.busy = 99, .total = 210};
    cr_expect_eq(proc_cpu_use(&earlier, &later), 0);
    cr_expect_eq(proc_cpu_use(&earlier, &earlier), 0);
}

Test(proc, memory_use_is_what_is_not_available)
{
    float use;
    const char *text = "MemTotal:       16384 kB\nMemFree:         1000 kB\nMemAvailable:   12288 kB\nBuffers: 5 kB\n";
    cr_assert_eq(proc_memory_parse(text, &use), 0);
    cr_expect_float_eq(use, 0.25, 1e-6);
}

static const char disks_text[] = "   7       0 loop0 1 0 1 1 0 0 0 0 0 99 1 0 0 0 0 0 0\n"
                                 "   8       0 sda 100 0 800 50 10 0 80 5 0 1000 55 0 0 0 0 1 2\n"
                                 "   8       1 sda1 90 0 700 45 10 0 80 5 0 990 50 0 0 0 0 0 0\n"
                                 "  65     160 sdaa 100 0 800 50 10 0 80 5 0 4 55 0 0 0 0 1 2\n"
                                 " 259       0 nvme0n1 100 0 800 50 10 0 80 5 2 2000 55\n"
                                 " 259       1 nvme0n1p1 90 0 700 45 10 0 80 5 0 1990 50\n"
                                 " 259       2 nvme0n10 1 0 1 1 1 0 1 1 0 7 1\n"
                                 " 253       0 dm-0 1 0 1 1 1 0 1 1 0 5000 1 0 0 0 0 0 0\n"
                                 "   9       0 md127 1 0 1 1 1 0 1 1 0 6000 1 0 0 0 0 0 0\n";

Test(proc, disks_are_whole_disks_only)
{
    struct proc_disks disks;
    proc_disks_parse(disks_text, &disks);
    const char *expected[] = {"sda", "sdaa", "nvme0n1", "nvme0n10"};
    cr_assert_eq(disks.count, 4);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_str_eq(disks.disks[i].name, expected[i]);
    cr_expect_eq(disks.disks[2].busy_ms, 2000);
}

Test(proc, disk_use_is_the_busiest_disks)
{
    struct proc_disks earlier = {.count = 2, .disks = {{"sda", 1000}, {"sdb", 5000}}};
    struct proc_disks later = {.count = 3, .disks = {{"sdb", 5075}, {"sda", 1025}, {"sdc", 900}}};
    cr_expect_float_eq(proc_disks_use(&earlier, &later, 100), 0.75, 1e-6);
}

Test(proc, disk_use_never_exceeds_one)
{
    struct proc_disks earlier = {.count = 1, .disks = {{"sda", 1000}}}, later = {.count = 1, .disks = {{"sda", 1300}}};
    cr_expect_eq(proc_disks_use(&earlier, &later, 100), 1);
    cr_expect_eq(proc_disks_use(&earlier, &later, 0), 0);
}

Test(proc, disk_counter_of_32_bits_may_wrap)
{
    struct proc_disks earlier = {.count = 1, .disks = {{"sda", 0xfffffff0}}}, later = {.count = 1, .disks = {{"sda", 0x22}}};
    cr_expect_float_eq(proc_disks_use(&earlier, &later, 100), 0.5, 1e-6);
}
