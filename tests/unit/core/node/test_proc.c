/* What /proc says, from texts of real machines. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "core/node/proc.h"
#include "core/node/proc_net.h"

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
    struct proc_memory memory;
    cr_expect_eq(proc_memory_parse("", &memory), -EINVAL);
    cr_expect_eq(proc_memory_parse("MemTotal: 100 kB\n", &memory), -EINVAL);
    cr_expect_eq(proc_memory_parse("MemTotal: 0 kB\nMemAvailable: 0 kB\n", &memory), -EINVAL);
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
    struct proc_memory memory;
    const char *text = "MemTotal:       16384 kB\nMemFree:         1000 kB\nMemAvailable:   12288 kB\nBuffers: 5 kB\n";
    cr_assert_eq(proc_memory_parse(text, &memory), 0);
    cr_expect_eq(memory.total_bytes, 16384 * 1024);
    cr_expect_eq(memory.used_bytes, 4096 * 1024);
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
    struct proc_disks earlier = {.count = 2, .disks = {{.name = "sda", .busy_ms = 1000}, {.name = "sdb", .busy_ms = 5000}}};
    struct proc_disks later = {
        .count = 3,
        .disks = {{.name = "sdb", .busy_ms = 5075}, {.name = "sda", .busy_ms = 1025}, {.name = "sdc", .busy_ms = 900}}};
    cr_expect_float_eq(proc_disks_use(&earlier, &later, 100), 0.75, 1e-6);
}

Test(proc, disk_use_never_exceeds_one)
{
    struct proc_disks earlier = {.count = 1, .disks = {{.name = "sda", .busy_ms = 1000}}},
                      later = {.count = 1, .disks = {{.name = "sda", .busy_ms = 1300}}};
    cr_expect_eq(proc_disks_use(&earlier, &later, 100), 1);
    cr_expect_eq(proc_disks_use(&earlier, &later, 0), 0);
}

Test(proc, disk_counter_of_32_bits_may_wrap)
{
    struct proc_disks earlier = {.count = 1, .disks = {{.name = "sda", .busy_ms = 0xfffffff0}}},
                      later = {.count = 1, .disks = {{.name = "sda", .busy_ms = 0x22}}};
    cr_expect_float_eq(proc_disks_use(&earlier, &later, 100), 0.5, 1e-6);
}

Test(proc, disks_moved_counts_only_disks_of_both_readings)
{
    struct proc_disks earlier, later;
    uint64_t read, written;
    proc_disks_parse(disks_text, &earlier);
    cr_expect_eq(earlier.disks[0].read_bytes, 800 * 512);
    cr_expect_eq(earlier.disks[0].written_bytes, 80 * 512);
    later = earlier;
    later.disks[0].read_bytes += 5000;
    later.disks[1].written_bytes += 7000;
    later.disks[2].read_bytes = 0; /* it went and came back */
    snprintf(later.disks[3].name, sizeof(later.disks[3].name), "new");
    proc_disks_moved(&earlier, &later, &read, &written);
    cr_expect_eq(read, 5000);
    cr_expect_eq(written, 7000);
}

Test(proc, pressure_is_a_share)
{
    float share;
    cr_expect_eq(proc_pressure_parse("", &share), -EINVAL);
    cr_expect_eq(proc_pressure_parse("full avg10=1.00\n", &share), -EINVAL);
    cr_assert_eq(proc_pressure_parse("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n", &share), 0);
    cr_expect_float_eq(share, 0.125, 1e-6);
}

static const char net_text[] = "Inter-|   Receive                                                |  Transmit\n"
                               " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
                               "    lo: 111 1 0 0 0 0 0 0 111 1 0 0 0 0 0 0\n"
                               "  eth0:1000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n"
                               "  wlan-a-name-that-is-too-long: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
                               " eth1: 18446744073709551615 10 0 0 0 0 0 0 7 20 0 0 0 0 0 0";

Test(proc, network_text_of_something_else_has_no_interfaces)
{
    struct proc_net net;
    proc_net_parse("", &net);
    cr_expect_eq(net.count, 0);
    proc_net_parse("hello\n: \n eth0: one two\n:::", &net);
    cr_expect_eq(net.count, 0);
}

Test(proc, network_interfaces_are_all_but_lo)
{
    struct proc_net net;
    proc_net_parse(net_text, &net);
    cr_assert_eq(net.count, 2);
    cr_expect_str_eq(net.interfaces[0].name, "eth0");
    cr_expect_eq(net.interfaces[0].received_bytes, 1000);
    cr_expect_eq(net.interfaces[0].sent_bytes, 2000);
    cr_expect_eq(net.interfaces[1].received_bytes, UINT64_MAX);
}

Test(proc, network_that_begins_anew_has_moved_nothing)
{
    struct proc_net earlier, later;
    uint64_t received, sent;
    proc_net_parse(net_text, &earlier);
    later = earlier;
    later.interfaces[0].received_bytes += 500;
    later.interfaces[1].received_bytes = 3;
    proc_net_moved(&earlier, &later, &received, &sent);
    cr_expect_eq(received, 500);
    cr_expect_eq(sent, 0);
}
