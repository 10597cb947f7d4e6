#include "tests/unit/dispatcher/fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/policy/policy.h"

/* Only a failing test waits so long. */
#define PATIENCE_NS (10 * NS_PER_S)

struct address bench_node(uint32_t index)
{
    return (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(7500 + index), .ip = {10, 0, 0, 1}};
}

static void on_hand_over(void *ctx, struct stream_handoff *handoff)
{
    struct bench *bench = ctx;
    bench->handoff = handoff;
    bench->handoff_count++;
}

static void view_make(struct bench *bench, uint32_t dispatcher_count)
{
    struct snapshot_offer offers[BENCH_NODES];
    struct address *alive = calloc(dispatcher_count + 1, sizeof(*alive));
    struct snapshot *snapshot;
    struct location *location;
    cr_assert_not_null(alive);
    for (uint32_t i = 0; i < BENCH_NODES; i++) {
        bench->values[i].address = bench_node(i);
        offers[i] = (struct snapshot_offer){.service_id = BENCH_SERVICE, .slot = i};
    }
    for (uint32_t i = 0; i < dispatcher_count; i++)
        alive[i] = bench_node(1000 + i);
    cr_assert_eq(snapshot_new(BENCH_NODES, offers, BENCH_NODES, &snapshot), 0);
    cr_assert_eq(location_new(BENCH_REGION, NULL, alive, dispatcher_count, &location), 0);
    cr_assert_eq(view_new(snapshot, location, &bench->view), 0);
    free(alive);
    bench->view->retires_snapshot = bench->view->retires_location = true;
    publication_init(&bench->publication, 1, bench->view);
}

static void bench_open(struct bench *bench, const char *listen, uint32_t queue_capacity, uint32_t dispatcher_count)
{
    struct core_config config = {
        .shared = &bench->shared,
        .loop_kind = bench->kind,
        .queue_capacity = queue_capacity,
        .connections_max = CORE_CONNECTIONS_MAX,
        .joined_datagrams = true,
    };
    view_make(bench, dispatcher_count);
    bench->shared = (struct core_shared){
        .publication = &bench->publication,
        .values = bench->values,
        .boot_id = 77,
        .region = BENCH_REGION,
        .queue_factor = 1.5f,
        .policy = POLICY_RANDOM,
        .takes_jobs = true,
        .hand_over = on_hand_over,
        .ctx = bench,
    };
    cr_assert_eq(address_parse(listen, &config.address), 0);
    cr_assert_eq(core_new(&config, &bench->core), 0);
}

static void bench_done(struct bench *bench)
{
    core_stop(bench->core);
    core_free(bench->core);
    stream_handoff_free(bench->handoff);
    bench->handoff = NULL;
    publication_done(&bench->publication);
    view_free(bench->view);
}

void bench_run(enum loop_kind kind, void (*test)(struct bench *bench))
{
    struct loop_config config;
    char reason[LOOP_REASON_BYTES] = "";
    struct loop *loop;
    loop_config_init(&config);
    config.kind = kind;
    config.reason = reason;
    if (loop_new(&config, &loop) < 0) {
        (void)fprintf(stderr, "not run: %s\n", reason);
        return;
    }
    loop_free(loop);
    struct bench *bench = memory_new_aligned(sizeof(*bench));
    cr_assert_not_null(bench);
    bench->kind = kind;
    bench_open(bench, "127.0.0.1:0", BENCH_QUEUE, 2);
    test(bench);
    bench_done(bench);
    free(bench);
}

void bench_reopen(struct bench *bench, const char *listen, uint32_t queue_capacity, uint32_t dispatchers)
{
    bench_done(bench);
    bench_open(bench, listen, queue_capacity, dispatchers);
}

uint64_t bench_counter(const struct bench *bench, enum counter counter)
{
    return counter_read(core_counters(bench->core), counter);
}

static void batch(struct bench *bench, uint64_t deadline_ns)
{
    cr_assert_lt(clock_monotonic_ns(), deadline_ns, "waited in vain");
    cr_assert_eq(loop_run_once(bench->core->loop, NS_PER_MS), 0);
}

void bench_run_until(struct bench *bench, enum counter counter, uint64_t wanted)
{
    uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (bench_counter(bench, counter) < wanted)
        batch(bench, deadline_ns);
}

void bench_run_batches(struct bench *bench)
{
    for (int i = 0; i < 20; i++)
        cr_assert_eq(loop_run_once(bench->core->loop, 0), 0);
}

void bench_hold(struct bench *bench, bool held)
{
    loop_set_batch_hook(bench->core->loop, held ? NULL : core_on_batch, bench->core);
}

void bench_fill(struct bench *bench, uint32_t queued)
{
    uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (core_queue_length(bench->core) < queued)
        batch(bench, deadline_ns);
}

int bench_client(struct bench *bench, int socket_type)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = address_to_socket(core_address(bench->core), &name);
    struct timeval limit = {.tv_sec = 10};
    int fd = socket(name.ss_family, socket_type | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&name, name_bytes), 0);
    return fd;
}

uint32_t request_write(uint8_t *at, uint64_t request_id, uint8_t count, uint32_t padded_length)
{
    struct wire_address_request request = {.service_id = BENCH_SERVICE, .count = count};
    int length = wire_address_request_encode(&request, request_id, padded_length, at, DATAGRAM_BYTES_MAX);
    cr_assert_gt(length, 0);
    return (uint32_t)length;
}

uint32_t frame_write(uint8_t *at, uint16_t type, uint64_t request_id, uint32_t length)
{
    memset(at, 0, length);
    bytes_store_u16(at, WIRE_MAGIC);
    at[2] = WIRE_MAJOR;
    bytes_store_u16(at + 4, type);
    bytes_store_u32(at + 8, length);
    bytes_store_u64(at + 12, request_id);
    return length;
}

ssize_t client_read(struct bench *bench, int client, void *bytes, size_t capacity)
{
    struct pollfd ready = {.fd = client, .events = POLLIN};
    uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (!bench->core->started && poll(&ready, 1, 0) == 0)
        batch(bench, deadline_ns);
    ssize_t length;
    do
        length = recv(client, bytes, capacity, 0);
    while (length < 0 && errno == EINTR); /* rings that this thread had leave it work to do */
    cr_assert(length >= 0 || errno == ECONNRESET, "%s", strerrordesc_np(errno));
    return length;
}

bool answers_next(struct answers *answers, struct bench *bench, int client)
{
    enum refusal refusal;
    for (;;) {
        uint8_t *at = answers->bytes + answers->used;
        int length = frame_decode_stream(at, answers->length - answers->used, &answers->frame, &refusal);
        if (length > 0) {
            answers->used += (size_t)length;
            return true;
        }
        cr_assert_eq(length, -EAGAIN);
        answers->length -= answers->used;
        memmove(answers->bytes, at, answers->length);
        answers->used = 0;
        ssize_t more = client_read(bench, client, answers->bytes + answers->length, sizeof(answers->bytes) - answers->length);
        if (more <= 0) {
            cr_expect_eq(more, 0, "the connection was reset");
            cr_expect_eq(answers->length, 0, "the connection ended within a frame");
            return false;
        }
        answers->length += (size_t)more;
    }
}

void expect_address(struct answers *answers, struct bench *bench, int client, uint64_t request_id)
{
    struct wire_address reply;
    enum refusal refusal;
    cr_assert(answers_next(answers, bench, client), "no answer to %lu", (unsigned long)request_id);
    cr_assert_eq(answers->frame.type, FRAME_TYPE_ADDRESS, "a frame of type %x", answers->frame.type);
    cr_assert_eq(answers->frame.request_id, request_id, "%lu instead of %lu", (unsigned long)answers->frame.request_id,
                 (unsigned long)request_id);
    cr_assert_eq(wire_address_decode(&answers->frame, &reply, &refusal), 0);
    cr_assert_geq(reply.count, 1);
    cr_expect_eq(reply.entries[0].address.ip[0], 10);
}

void expect_error(struct answers *answers, struct bench *bench, int client, uint64_t request_id, enum wire_error_code code)
{
    struct wire_error error;
    enum refusal refusal;
    cr_assert(answers_next(answers, bench, client), "no answer to %lu", (unsigned long)request_id);
    cr_assert_eq(answers->frame.type, FRAME_TYPE_ERROR, "a frame of type %x", answers->frame.type);
    cr_assert_eq(wire_error_decode(&answers->frame, &error, &refusal), 0);
    cr_expect_eq(answers->frame.request_id, request_id);
    cr_expect_eq(error.code, code, "code %u: %s", error.code, error.text);
}

void expect_end(struct answers *answers, struct bench *bench, int client)
{
    cr_expect_not(answers_next(answers, bench, client), "a frame of type %x where nothing should come", answers->frame.type);
}
