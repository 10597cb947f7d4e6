#include "tests/unit/core/io/fixture.h"

#include <stdio.h>
#include <sys/socket.h>

#include "core/base/clock.h"

#define FIXTURE_PATIENCE_NS (10 * NS_PER_S)

bool fixture_spins;

bool fixture_uring_is_allowed(void)
{
    struct loop_config config;
    char reason[LOOP_REASON_BYTES] = "";
    struct loop *loop;
    loop_config_init(&config);
    config.kind = LOOP_URING;
    config.reason = reason;
    if (loop_new(&config, &loop) == 0) {
        loop_free(loop);
        return true;
    }
    (void)fprintf(stderr, "not run on io_uring: %s\n", reason);
    return false;
}

struct loop *fixture_loop(enum loop_kind kind)
{
    struct loop_config config;
    struct loop *loop;
    loop_config_init(&config);
    config.kind = kind;
    config.spin = fixture_spins;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_str_eq(loop_kind_name(loop), kind == LOOP_URING ? "uring" : "epoll");
    return loop;
}

void fixture_run_until(struct loop *loop, const uint32_t *value, uint32_t wanted)
{
    uint64_t deadline_ns = clock_monotonic_ns() + FIXTURE_PATIENCE_NS;
    while (*value < wanted) {
        cr_assert_lt(clock_monotonic_ns(), deadline_ns, "waited in vain for %u, have %u", wanted, *value);
        cr_assert_eq(loop_run_once(loop, 10 * NS_PER_MS), 0);
    }
}

void fixture_run_for(struct loop *loop, uint64_t duration_ms)
{
    uint64_t end_ns = clock_monotonic_ns() + duration_ms * NS_PER_MS;
    for (uint64_t now_ns; (now_ns = clock_monotonic_ns()) < end_ns;)
        cr_assert_eq(loop_run_once(loop, end_ns - now_ns), 0);
}

struct address fixture_loopback(uint16_t port)
{
    struct address address;
    cr_assert_eq(address_parse("127.0.0.1:0", &address), 0);
    address.port = port;
    return address;
}

static int fixture_client(const struct address *server, int type)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(server, &name);
    int fd = socket(name.ss_family, type | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    struct timeval timeout = {.tv_sec = 10};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&name, name_bytes), 0);
    return fd;
}

int fixture_udp_client(const struct address *server)
{
    return fixture_client(server, SOCK_DGRAM);
}

int fixture_stream_client(const struct address *server)
{
    return fixture_client(server, SOCK_STREAM);
}
