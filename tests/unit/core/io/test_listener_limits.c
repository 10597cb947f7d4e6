/* What a listener allows one address, and how long it lets a connection be idle. */
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/backend.h"
#include "tests/unit/core/io/accepting.h"
#include "tests/unit/core/io/fixture.h"

/* An IPv4 address of this machine that is not loopback. */
static bool own_address(struct address *ret_address)
{
    struct ifaddrs *all;
    bool found = false;
    cr_assert_eq(getifaddrs(&all), 0);
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next)
        found = one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET &&
                address_from_socket(one->ifa_addr, ret_address) == 0 && !address_is_loopback(ret_address);
    freeifaddrs(all);
    return found;
}

TEST_BOTH(listener_limits, an_address_gets_no_more_than_its_share)
{
    struct listener_config config;
    listener_config_init(&config);
    config.per_address_max = 2;
    if (!own_address(&config.address))
        return; /* nothing but loopback here, which has no limit */
    config.address.port = 0;
    struct loop *loop = fixture_loop(kind);
    struct listener *listener = accepting_listen(loop, &config);
    int first = accepting_client(loop, listener);
    accepting_client(loop, listener);
    int third = fixture_stream_client(listener_local_address(listener));
    fixture_run_for(loop, 20);
    char byte;
    cr_expect_leq(recv(third, &byte, 1, 0), 0);
    cr_expect_eq(server.accepted, 2);
    cr_expect_eq(loop_stats(loop)->accepts_refused, 1);
    close(first);
    fixture_run_until(loop, &server.closed, 1);
    accepting_client(loop, listener);
    loop_free(loop);
}

TEST_BOTH(listener_limits, connections_outlive_their_listener)
{
    struct listener_config config;
    listener_config_init(&config);
    config.per_address_max = 2;
    config.idle_ms = 60000;
    if (!own_address(&config.address))
        return;
    config.address.port = 0;
    struct loop *loop = fixture_loop(kind);
    struct listener *listener = accepting_listen(loop, &config);
    int fd = accepting_client(loop, listener);
    listener_close(listener);
    fixture_run_for(loop, 20);
    cr_assert_eq(send(fd, "x", 1, 0), 1);
    fixture_run_until(loop, &server.shown, 1);
    close(fd);
    fixture_run_until(loop, &server.closed, 1);
    cr_expect_eq(server.error, 0);
    loop_free(loop);
}

/* Says something only where the machine let it use the other one in time. */
TEST_BOTH(listener_limits, an_idle_connection_ends_and_one_in_use_does_not)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    uint64_t longest_ns = 0;
    listener_config_init(&config);
    config.idle_ms = 250;
    struct listener *listener = accepting_listen(loop, &config);
    int quiet = accepting_client(loop, listener);
    int talking = accepting_client(loop, listener);
    while (server.closed == 0) {
        uint64_t sent_ns = clock_monotonic_ns();
        cr_assert_eq(send(talking, "x", 1, MSG_NOSIGNAL), 1);
        fixture_run_for(loop, 5);
        uint64_t took_ns = clock_monotonic_ns() - sent_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    if (longest_ns >= config.idle_ms * NS_PER_MS / 2) {
        loop_free(loop);
        cr_skip_test("the machine stood still for %" PRIu64 " ms", longest_ns / NS_PER_MS);
    }
    cr_expect_eq(server.error, USHER_ECANCELLED);
    expect_end(quiet);
    expect_open(talking);
    cr_expect_eq(loop_stats(loop)->streams_expired, 1);
    fixture_run_until(loop, &server.closed, 2);
    loop_free(loop);
}

TEST_BOTH(listener_limits, a_busy_connection_is_idle_only_afterwards)
{
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    config.idle_ms = 20;
    struct listener *listener = accepting_listen(loop, &config);
    accepting_client(loop, listener);
    stream_set_busy(server.stream[0], true);
    fixture_run_for(loop, 60);
    cr_expect_eq(server.closed, 0);
    stream_set_busy(server.stream[0], false);
    fixture_run_until(loop, &server.closed, 1);
    loop_free(loop);
}

/* Nobody looks at idle ones one by one. */
TEST_BOTH(listener_limits, hundreds_of_idle_connections_run_one_timer_between_them)
{
    enum { CONNECTIONS = 300 };
    struct loop *loop = fixture_loop(kind);
    struct listener_config config;
    listener_config_init(&config);
    config.idle_ms = 60000;
    struct listener *listener = accepting_listen(loop, &config);
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        accepting_client(loop, listener);
    uint64_t batches = loop_stats(loop)->batches;
    fixture_run_for(loop, 100);
    cr_expect_lt(loop_stats(loop)->batches - batches, 100);
    cr_expect_eq(server.closed, 0);
    cr_expect_null(loop->timers->child);
    loop_free(loop);
}
