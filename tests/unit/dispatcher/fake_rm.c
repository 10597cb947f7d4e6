#include "tests/unit/dispatcher/fake_rm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/io/backend.h"
#include "core/wire/error.h"
#include "core/wire/service.h"

struct scene scene;

static uint64_t clock_offset_ns;

static uint64_t moved_clock(struct loop *loop)
{
    (void)loop;
    return clock_monotonic_ns() + clock_offset_ns;
}

static struct loop *loop_with_moved_clock(enum loop_kind kind)
{
    static struct loop_backend backend;
    struct loop_config config;
    struct loop *loop;
    char reason[LOOP_REASON_BYTES] = "";
    backend = kind == LOOP_URING ? loop_backend_uring : loop_backend_epoll;
    backend.now_ns = moved_clock;
    loop_config_init(&config);
    config.backend = &backend;
    config.reason = reason;
    if (loop_new(&config, &loop) == 0)
        return loop;
    (void)fprintf(stderr, "not run: %s\n", reason);
    return NULL;
}

void scene_advance(uint64_t ns)
{
    clock_offset_ns += ns;
}

void scene_batch(void)
{
    cr_assert_eq(loop_run_once(scene.loop, NS_PER_MS), 0);
}

void scene_settle(void)
{
    for (int i = 0; i < 20; i++)
        scene_batch();
}

uint64_t scene_counter(enum counter counter)
{
    return counter_read(&scene.counters, counter);
}

uint32_t scene_offered(void)
{
    const struct snapshot_service *service = snapshot_service_find(scene.directory->view->snapshot, service_id("echo", 4));
    return service ? service->member_count : 0;
}

struct fake_rm *scene_followed(void)
{
    return &scene.rms[scene.subscription.rm_index];
}

struct fake_rm *scene_other(void)
{
    return &scene.rms[1 - scene.subscription.rm_index];
}

struct wire_node fake_node(uint16_t port)
{
    return (struct wire_node){
        .address = {.family = ADDRESS_IPV4, .port = port, .ip = {10, 0, 0, 1}},
        .kind = WIRE_NODE_WORKER,
        .boot_id = port,
        .service_count = 1,
        .services = {{.service_id = service_id("echo", 4)}},
    };
}

void fake_rm_send(struct fake_rm *rm, const void *bytes, size_t length)
{
    cr_assert_not_null(rm->stream);
    cr_assert_eq(stream_send(rm->stream, bytes, length), 0);
}

void fake_rm_send_part(struct fake_rm *rm, uint32_t count, bool first, bool more)
{
    static uint8_t bytes[DIRECTORY_PART_BYTES_MAX];
    struct wire_nodes_builder builder;
    struct wire_directory directory = {.version = rm->version, .node_total = rm->node_count, .first = first};
    wire_directory_begin(&builder, &directory, 1, bytes, sizeof(bytes));
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(wire_nodes_add(&builder, &rm->nodes[i]), 0);
    int length = wire_nodes_finish(&builder, more);
    cr_assert_gt(length, 0);
    fake_rm_send(rm, bytes, (size_t)length);
}

void fake_rm_send_list(struct fake_rm *rm)
{
    fake_rm_send_part(rm, rm->node_count, true, false);
}

void fake_rm_send_delta(struct fake_rm *rm, uint64_t base, uint64_t sequence, const struct wire_node *node)
{
    uint8_t bytes[1024];
    struct wire_nodes_builder builder;
    struct wire_delta delta = {
        .rm_id = rm->version.rm_id,
        .epoch = rm->version.epoch,
        .base_sequence = base,
        .sequence = sequence,
    };
    wire_delta_begin(&builder, &delta, 1, bytes, sizeof(bytes));
    if (node)
        cr_assert_eq(wire_nodes_add(&builder, node), 0);
    int length = wire_nodes_finish(&builder, false);
    cr_assert_gt(length, 0);
    fake_rm_send(rm, bytes, (size_t)length);
}

static void answer_properly(struct fake_rm *rm)
{
    bool current = rm->subscribe.have.rm_id == rm->version.rm_id && rm->subscribe.have.epoch == rm->version.epoch;
    if (current)
        fake_rm_send_delta(rm, rm->version.sequence, rm->version.sequence, NULL);
    else
        fake_rm_send_list(rm);
}

static void answer_error(struct fake_rm *rm)
{
    uint8_t bytes[512];
    int length = wire_error_encode(WIRE_ERROR_WRONG_REGION, false, false, NULL, 1, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    fake_rm_send(rm, bytes, (size_t)length);
}

static void answer_nonsense(struct fake_rm *rm)
{
    uint8_t bytes[FRAME_HEADER_BYTES] = {0x55, 0x53, WIRE_MAJOR, WIRE_MINOR, 0x8f, 0xf0, 0, 0, 0, 0, 0, FRAME_HEADER_BYTES};
    fake_rm_send(rm, bytes, sizeof(bytes));
}

static void answer(struct fake_rm *rm)
{
    switch (rm->mode) {
    case FAKE_ANSWERS: answer_properly(rm); return;
    case FAKE_SILENT: return;
    case FAKE_GARBAGE: fake_rm_send(rm, "HTTP/1.1 400 Bad Request\r\n", 26); return;
    case FAKE_NONSENSE: answer_nonsense(rm); return;
    case FAKE_REFUSES: answer_error(rm); return;
    case FAKE_CLOSES: stream_close(rm->stream); return;
    case FAKE_EMPTY: fake_rm_send_part(rm, 0, true, false); return;
    }
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct fake_rm *rm = ctx;
    struct frame frame;
    enum refusal refusal;
    (void)stream;
    int taken = frame_decode_stream(bytes, length, &frame, &refusal);
    if (taken == -EAGAIN)
        return 0;
    cr_assert_eq(frame.type, FRAME_TYPE_SUBSCRIBE);
    cr_assert_eq(wire_subscribe_decode(&frame, &rm->subscribe, &refusal), 0);
    rm->asked++;
    rm->asked_full += rm->subscribe.have.rm_id == 0;
    answer(rm);
    return (size_t)taken;
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct fake_rm *rm = ctx;
    (void)error;
    if (rm->stream == stream)
        rm->stream = NULL;
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct stream_handlers handlers = {.on_bytes = on_bytes, .on_closed = on_closed};
    struct fake_rm *rm = ctx;
    (void)listener;
    rm->stream = stream;
    rm->accepted++;
    stream_set_handlers(stream, &handlers, rm);
}

void fake_rm_up(struct fake_rm *rm)
{
    struct listener_config config;
    listener_config_init(&config);
    config.address = rm->address;
    config.retry_bind = rm->address.port != 0;
    config.on_accept = on_accept;
    config.ctx = rm;
    cr_assert_eq(listener_open(scene.loop, &config, &rm->listener), 0);
    rm->address = *listener_local_address(rm->listener);
}

void fake_rm_down(struct fake_rm *rm)
{
    listener_close(rm->listener);
    rm->listener = NULL;
    if (rm->stream)
        stream_abort(rm->stream);
    rm->stream = NULL;
    scene_batch();
}

static void rm_make(struct fake_rm *rm, uint32_t index)
{
    *rm = (struct fake_rm){.version = {.rm_id = 100 + index, .epoch = 1, .sequence = 5}, .node_count = 2 + index};
    for (uint32_t i = 0; i < rm->node_count; i++)
        rm->nodes[i] = fake_node((uint16_t)(7500 + i));
    cr_assert_eq(address_parse("127.0.0.1:0", &rm->address), 0);
    fake_rm_up(rm);
    scene.addresses[index] = rm->address;
}

void scene_run(enum loop_kind kind, uint32_t rm_count, void (*test)(void))
{
    scene.loop = loop_with_moved_clock(kind);
    if (!scene.loop)
        return;
    cr_assert_eq(directory_new(3, 1, &scene.directory), 0);
    for (uint32_t i = 0; i < rm_count; i++)
        rm_make(&scene.rms[i], i);
    scene.config = (struct subscription_config){
        .loop = scene.loop,
        .directory = scene.directory,
        .counters = &scene.counters,
        .rms = {.item = scene.addresses, .count = rm_count},
        .subscriber = {.family = ADDRESS_IPV4, .port = 7400, .ip = {127, 0, 0, 1}},
        .boot_id = 42,
        .region = 3,
        .refresh_ns = 250 * NS_PER_MS,
        .push = true,
    };
    test();
    subscription_stop(&scene.subscription);
    loop_free(scene.loop);
    directory_free(scene.directory);
}

void scene_start(void)
{
    subscription_start(&scene.subscription, &scene.config);
}
