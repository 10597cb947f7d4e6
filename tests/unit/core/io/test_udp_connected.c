#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/udp.h"
#include "tests/unit/core/io/fixture.h"

struct peer {
    uint32_t datagrams;
    uint32_t errors;
    int error;
};

static void peer_on_datagram(void *ctx, struct udp *udp, const struct address *from, uint8_t *bytes, uint32_t length)
{
    (void)udp;
    (void)from;
    (void)bytes;
    (void)length;
    ((struct peer *)ctx)->datagrams++;
}

static void peer_on_error(void *ctx, struct udp *udp, int error)
{
    (void)udp;
    struct peer *peer = ctx;
    peer->error = error;
    peer->errors++;
}

static struct udp *peer_open(struct loop *loop, struct peer *peer, const struct address *connect)
{
    struct udp_config config;
    struct udp *udp;
    udp_config_init(&config);
    config.address = fixture_loopback(0);
    config.connect = *connect;
    config.on_datagram = peer_on_datagram;
    config.on_error = peer_on_error;
    config.ctx = peer;
    cr_assert_eq(udp_open(loop, &config, &udp), 0);
    return udp;
}

/* A port where nobody listens any more. */
static struct address dead_port(struct loop *loop)
{
    struct peer peer = {0};
    struct udp *udp = peer_open(loop, &peer, &(struct address){0});
    struct address address = *udp_local_address(udp);
    udp_close(udp);
    fixture_run_for(loop, 5);
    return address;
}

TEST_ALL(udp_connected, refusal_by_the_peer_is_reported)
{
    struct loop *loop = fixture_loop(kind);
    struct address dead = dead_port(loop);
    struct peer peer = {0};
    struct udp *udp = peer_open(loop, &peer, &dead);
    cr_assert_eq(udp_send(udp, &dead, (const uint8_t *)"x", 1), 0);
    fixture_run_until(loop, &peer.errors, 1);
    cr_assert_eq(peer.error, -ECONNREFUSED);
    loop_free(loop);
}

TEST_ALL(udp_connected, every_refusal_is_reported_whether_sending_or_receiving_meets_it)
{
    struct loop *loop = fixture_loop(kind);
    struct address dead = dead_port(loop);
    struct peer peer = {0};
    struct udp *udp = peer_open(loop, &peer, &dead);
    for (uint32_t i = 1; i <= 20; i++) {
        cr_assert_eq(udp_send(udp, &dead, (const uint8_t *)"x", 1), 0);
        fixture_run_until(loop, &peer.errors, i);
    }
    loop_free(loop);
}

TEST_ALL(udp_connected, refusal_of_an_unconnected_socket_is_not)
{
    struct loop *loop = fixture_loop(kind);
    struct address dead = dead_port(loop);
    struct peer peer = {0};
    struct udp *udp = peer_open(loop, &peer, &(struct address){0});
    cr_assert_eq(udp_send(udp, &dead, (const uint8_t *)"x", 1), 0);
    fixture_run_for(loop, 20);
    cr_assert_eq(peer.errors, 0);
    loop_free(loop);
}

TEST_ALL(udp_connected, strangers_datagrams_do_not_come_in)
{
    struct loop *loop = fixture_loop(kind);
    struct peer friend = {0}, stranger = {0}, peer = {0};
    struct udp *friends = peer_open(loop, &friend, &(struct address){0});
    struct udp *strangers = peer_open(loop, &stranger, &(struct address){0});
    struct udp *udp = peer_open(loop, &peer, udp_local_address(friends));
    cr_assert_eq(udp_send(strangers, udp_local_address(udp), (const uint8_t *)"x", 1), 0);
    fixture_run_for(loop, 5);
    cr_assert_eq(udp_send(friends, udp_local_address(udp), (const uint8_t *)"x", 1), 0);
    fixture_run_until(loop, &peer.datagrams, 1);
    cr_assert_eq(peer.datagrams, 1);
    loop_free(loop);
}
