/* Connections wander between two loops on two threads while they are used: whoever has one echoes some bytes, then hands it to the
 * other side. A third thread, the client, sends and checks that every byte comes back once and in order. Both backends. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/address.h"
#include "core/base/check.h"
#include "core/io/loop.h"
#include "core/io/stream.h"

#define CONNECTIONS 8u
#define ROUNDS 400u
#define BYTES_PER_MOVE 700u

struct side {
    struct loop *loop;
    struct side *other;
    pthread_t thread;
    uint32_t adopted;
};

/* What a connection carries along. */
struct travel {
    struct loop_message message;
    struct stream_handoff *handoff;
    struct side *side; /* where it is, or goes to */
    uint32_t echoed; /* since it came here */
};

static _Atomic uint32_t closed;

static void travel_on_detached(void *ctx, struct stream_handoff *handoff);

static size_t travel_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct travel *travel = ctx;
    size_t part = BYTES_PER_MOVE - travel->echoed < length ? BYTES_PER_MOVE - travel->echoed : length;
    if (stream_send(stream, bytes, part) < 0)
        return 0;
    travel->echoed += (uint32_t)part;
    if (travel->echoed == BYTES_PER_MOVE)
        stream_detach(stream, travel_on_detached, travel);
    return part;
}

/* The client closes when everything has come back; a connection may still be on its way then. */
static void travel_on_closed(void *ctx, struct stream *stream, int error)
{
    struct travel *travel = ctx;
    (void)stream;
    CHECK(error == 0);
    if (atomic_fetch_add(&closed, 1) + 1 == CONNECTIONS) {
        loop_stop(travel->side->loop);
        loop_stop(travel->side->other->loop);
    }
    free(travel);
}

static const struct stream_handlers travel_handlers = {.on_bytes = travel_on_bytes, .on_closed = travel_on_closed};

static void travel_on_arrival(void *ctx, struct loop_message *message)
{
    struct travel *travel = ctx;
    struct stream *stream;
    (void)message;
    travel->echoed = 0;
    travel->side->adopted++;
    CHECK(stream_adopt(travel->side->loop, travel->handoff, &travel_handlers, travel, &stream) == 0);
}

static void travel_on_detached(void *ctx, struct stream_handoff *handoff)
{
    struct travel *travel = ctx;
    travel->handoff = handoff;
    travel->side = travel->side->other;
    travel->message.fn = travel_on_arrival;
    travel->message.ctx = travel;
    loop_post(travel->side->loop, &travel->message);
}

static void side_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct travel *travel = calloc(1, sizeof(*travel));
    (void)listener;
    CHECK(travel != NULL);
    travel->side = ctx;
    stream_set_handlers(stream, &travel_handlers, travel);
}

static void *side_main(void *ctx)
{
    struct side *side = ctx;
    CHECK(loop_run(side->loop) == 0);
    return NULL;
}

static void exchange(int fd, uint32_t round)
{
    uint8_t sent[1500];
    uint8_t got[1500];
    uint32_t length = 1 + round * 37 % (uint32_t)sizeof(sent);
    for (uint32_t i = 0; i < length; i++)
        sent[i] = (uint8_t)(round + i * 7);
    CHECK(send(fd, sent, length, MSG_NOSIGNAL) == (ssize_t)length);
    CHECK(recv(fd, got, length, MSG_WAITALL) == (ssize_t)length);
    CHECK(memcmp(sent, got, length) == 0);
}

static void client_run(const struct address *server)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(server, &name);
    int fd[CONNECTIONS];
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        fd[i] = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd[i] >= 0);
        CHECK(connect(fd[i], (const struct sockaddr *)&name, name_bytes) == 0);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < CONNECTIONS; i++)
            exchange(fd[i], round + i);
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        CHECK(close(fd[i]) == 0);
}

static int side_open(struct side *side, struct side *other, enum loop_kind kind)
{
    struct loop_config config;
    char reason[LOOP_REASON_BYTES] = "";
    loop_config_init(&config);
    config.kind = kind;
    config.reason = reason;
    *side = (struct side){.other = other};
    int error = loop_new(&config, &side->loop);
    if (error < 0)
        (void)printf("stress_loop_handoff: not run: %s\n", reason);
    return error;
}

static void run_kind(enum loop_kind kind)
{
    struct side sides[2];
    atomic_store(&closed, 0);
    if (side_open(&sides[0], &sides[1], kind) < 0 || side_open(&sides[1], &sides[0], kind) < 0)
        return;
    struct listener_config config;
    struct listener *listener;
    listener_config_init(&config);
    CHECK(address_parse("127.0.0.1:0", &config.address) == 0);
    config.on_accept = side_on_accept;
    config.ctx = &sides[0];
    CHECK(listener_open(sides[0].loop, &config, &listener) == 0);
    struct address server = *listener_local_address(listener);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&sides[i].thread, NULL, side_main, &sides[i]) == 0);
    client_run(&server);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(sides[i].thread, NULL) == 0);
    (void)printf("stress_loop_handoff: %s: moved %u times\n", loop_kind_name(sides[0].loop), sides[0].adopted + sides[1].adopted);
    CHECK(sides[0].adopted > ROUNDS && sides[1].adopted > ROUNDS);
    for (int i = 0; i < 2; i++)
        loop_free(sides[i].loop);
}

int main(void)
{
    run_kind(LOOP_EPOLL);
    run_kind(LOOP_URING);
    return 0;
}
