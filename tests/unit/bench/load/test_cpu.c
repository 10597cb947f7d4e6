#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/cpu.h"

Test(cpu, unknown_samples_give_an_unknown_use)
{
    struct cpu_sample none = {0}, some = {.thread_count = 1, .thread = {{.id = 1, .run_ns = 5}}};
    cr_assert_lt(cpu_use_between(&none, &some).process_ns, 0);
    cr_assert_lt(cpu_use_between(&some, &none).busiest_ns, 0);
    cpu_sample_take(0, &some);
    cr_assert_eq(some.thread_count, 0);
}

Test(cpu, threads_are_told_apart_and_a_new_one_began_at_nothing)
{
    struct cpu_sample begin = {.thread_count = 2, .thread = {{.id = 1, .run_ns = 100}, {.id = 2, .run_ns = 50}}};
    struct cpu_sample end = {.thread_count = 3,
                             .thread = {{.id = 2, .run_ns = 80}, {.id = 1, .run_ns = 110}, {.id = 3, .run_ns = 7}}};
    struct cpu_use use = cpu_use_between(&begin, &end);
    cr_assert_float_eq(use.process_ns, 47, 0.1);
    cr_assert_float_eq(use.busiest_ns, 30, 0.1);
}

static pid_t finds_own_socket(int family, int type)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } name = {0};
    socklen_t length = family == AF_INET ? sizeof(name.ipv4) : sizeof(name.ipv6);
    struct address address;
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    name.any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        name.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        name.ipv6.sin6_addr = in6addr_loopback;
    cr_assert_eq(bind(fd, &name.any, length), 0);
    if (type == SOCK_STREAM)
        cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, &name.any, &length), 0);
    cr_assert_eq(address_from_socket(&name.any, &address), 0);
    pid_t found = cpu_find_server(&address, type == SOCK_STREAM);
    close(fd);
    return found;
}

/* 0 where /proc does not show it. */
Test(cpu, process_that_listens_is_found)
{
    const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_DGRAM, SOCK_STREAM};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            pid_t found = finds_own_socket(families[i], types[j]);
            cr_assert(found == getpid() || found == 0, "found %d instead of %d", (int)found, (int)getpid());
        }
}

Test(cpu, address_of_another_machine_is_not_looked_for_here)
{
    struct address address;
    cr_assert_eq(address_parse("192.0.2.1:7400", &address), 0);
    cr_assert_eq(cpu_find_server(&address, false), 0);
}
