#include "tests/unit/client/fake.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/io/socket.h"

struct loop *fake_loop;
struct usher_client *fake_client;

void fake_setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &fake_loop), 0);
}

void fake_teardown(void)
{
    usher_client_free(fake_client);
    loop_free(fake_loop);
}

void fake_client_start(const struct usher_config *config)
{
    char message[USHER_MESSAGE_BYTES] = "";
    cr_assert_eq(client_new(fake_loop, config, &fake_client, message), 0, "%s", message);
}

void fake_run_for(uint64_t duration_ms)
{
    uint64_t until_ns = loop_now_refresh(fake_loop) + duration_ms * NS_PER_MS;
    while (loop_now_ns(fake_loop) < until_ns)
        cr_assert_eq(loop_run_once(fake_loop, NS_PER_MS), 0);
}

static struct address loopback(void)
{
    struct address address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    return address;
}

/* Dispatchers */

static int answer_address(struct fake_dispatcher *dispatcher, const struct frame *frame, uint64_t id, uint8_t *bytes,
                          size_t limit)
{
    struct wire_address reply = {
        .boot_id = 99,
        .regions_version = dispatcher->regions_version,
        .region = dispatcher->region,
    };
    enum refusal refusal;
    uint8_t fitted;
    dispatcher->asks++;
    cr_assert_eq(wire_address_request_decode(frame, &dispatcher->last, &refusal), 0);
    for (uint8_t i = 0; i < dispatcher->node_count && reply.count < dispatcher->last.count; i++) {
        bool excluded = false;
        for (uint8_t j = 0; j < dispatcher->last.exclude_count; j++)
            excluded |= address_equal(&dispatcher->last.excludes[j], &dispatcher->nodes[i].address);
        if (!excluded)
            reply.entries[reply.count++] = dispatcher->nodes[i];
    }
    if (reply.count == 0)
        return wire_error_encode(WIRE_ERROR_NO_NODE, false, false, NULL, id, bytes, limit);
    return wire_address_encode(&reply, id, bytes, limit, &fitted);
}

static int answer_location(struct fake_dispatcher *dispatcher, uint64_t id, uint8_t *bytes, size_t limit)
{
    struct wire_location reply = {
        .region = dispatcher->client_region ? dispatcher->client_region : dispatcher->region,
        .own_region = dispatcher->region,
        .regions_version = dispatcher->regions_version,
        .dispatcher_total = dispatcher->listed_count,
    };
    dispatcher->locations++;
    return wire_location_encode(&reply, dispatcher->listed, id, bytes, limit);
}

/* Returns the reply's length; `limit` is the room in `bytes`. */
static int answer(struct fake_dispatcher *dispatcher, const struct frame *frame, uint8_t *bytes, size_t limit)
{
    uint64_t id = frame->request_id + (dispatcher->mode == FAKE_WRONG_ID);
    int length = frame->type == FRAME_TYPE_LOCATION_REQUEST ? answer_location(dispatcher, id, bytes, limit)
                                                            : answer_address(dispatcher, frame, id, bytes, limit);
    if (dispatcher->mode == FAKE_REFUSE)
        length = wire_error_encode(dispatcher->code, false, false, NULL, id, bytes, limit);
    cr_assert(length > 0 && length <= (int)limit);
    if (dispatcher->mode == FAKE_GARBAGE)
        memset(bytes, 0xee, (size_t)length);
    return length;
}

static void dispatcher_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct fake_dispatcher *dispatcher = ctx;
    uint8_t reply[DATAGRAM_BYTES_MAX];
    struct frame frame;
    enum refusal refusal;
    uint32_t count = dispatcher->asks + dispatcher->locations;
    cr_assert_gt(frame_decode_datagram(bytes, length, &frame, &refusal), 0);
    if (count < ARRAY_COUNT(dispatcher->ports))
        dispatcher->ports[count] = peer->port;
    int reply_length = answer(dispatcher, &frame, reply, length);
    if (dispatcher->mode == FAKE_SILENT)
        return;
    cr_assert_eq(udp_send(udp, peer, reply, (uint32_t)reply_length), 0);
    if (dispatcher->mode == FAKE_TWICE)
        cr_assert_eq(udp_send(udp, peer, reply, (uint32_t)reply_length), 0);
}

/* Free for TCP too: a port that the kernel picks for UDP may wait for the end of somebody's connection. */
static struct address port_pick(void)
{
    struct listener_config config;
    struct address address;
    int fd;
    listener_config_init(&config);
    config.address = loopback();
    cr_assert_eq(socket_open_listener(&config, true, &fd, &address), 0);
    close(fd);
    return address;
}

void fake_dispatcher_start(struct fake_dispatcher *dispatcher, uint16_t region)
{
    struct udp_config config;
    int error = -EADDRINUSE;
    udp_config_init(&config);
    config.on_datagram = dispatcher_on_datagram;
    config.ctx = dispatcher;
    /* Other tests run beside this one: a port free for TCP may be taken for UDP. */
    for (int i = 0; i < 50 && error == -EADDRINUSE; i++) {
        config.address = dispatcher->address.port ? dispatcher->address : port_pick();
        config.retry_bind = dispatcher->address.port != 0;
        error = udp_open(fake_loop, &config, &dispatcher->udp);
    }
    cr_assert_eq(error, 0);
    dispatcher->address = *udp_local_address(dispatcher->udp);
    dispatcher->region = region;
    dispatcher->regions_version = 1;
    dispatcher->listed_count = 0;
    fake_dispatcher_lists(dispatcher, dispatcher);
}

static size_t dispatcher_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct fake_dispatcher *dispatcher = ctx;
    static uint8_t reply[64 << 10];
    struct frame frame;
    enum refusal refusal;
    int taken = frame_decode_stream(bytes, length, &frame, &refusal);
    if (taken < 0)
        return 0;
    dispatcher->over_tcp++;
    int reply_length = answer(dispatcher, &frame, reply, sizeof(reply));
    if (dispatcher->mode != FAKE_SILENT)
        cr_assert_eq(stream_send(stream, reply, (size_t)reply_length), 0);
    return (size_t)taken;
}

static void dispatcher_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    (void)error;
}

static const struct stream_handlers dispatcher_handlers = {.on_bytes = dispatcher_on_bytes, .on_closed = dispatcher_on_closed};

static void dispatcher_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)listener;
    stream_set_handlers(stream, &dispatcher_handlers, ctx);
}

void fake_dispatcher_start_tcp(struct fake_dispatcher *dispatcher)
{
    struct listener_config config;
    listener_config_init(&config);
    config.address = dispatcher->address;
    config.on_accept = dispatcher_on_accept;
    config.ctx = dispatcher;
    cr_assert_eq(listener_open(fake_loop, &config, &dispatcher->listener), 0);
}

void fake_dispatcher_kill(struct fake_dispatcher *dispatcher)
{
    udp_close(dispatcher->udp);
    dispatcher->udp = NULL;
    cr_assert_eq(loop_run_once(fake_loop, 0), 0);
}

void fake_dispatcher_names(struct fake_dispatcher *dispatcher, const struct address *node)
{
    dispatcher->nodes[dispatcher->node_count++] = (struct wire_address_entry){.address = *node};
}

void fake_dispatcher_lists(struct fake_dispatcher *dispatcher, const struct fake_dispatcher *other)
{
    dispatcher->listed[dispatcher->listed_count++] = (struct wire_region_dispatcher){other->region, other->address};
}

const char *fake_list(const struct fake_dispatcher *a, const struct fake_dispatcher *b, const struct fake_dispatcher *c)
{
    static char text[3 * ADDRESS_TEXT_BYTES];
    const struct fake_dispatcher *all[] = {a, b, c};
    size_t length = 0;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        char address[ADDRESS_TEXT_BYTES];
        if (all[i])
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", length ? "," : "",
                                       address_format(&all[i]->address, address));
    }
    return text;
}

struct address fake_dead_address(void)
{
    struct fake_node node = {.mode = FAKE_RESULT};
    fake_node_start(&node);
    listener_close(node.listener);
    cr_assert_eq(loop_run_once(fake_loop, 0), 0);
    return node.address;
}

/* Nodes */

static void node_send_result(struct stream *stream, uint64_t id, const struct wire_job *job, const uint8_t *data, uint32_t length,
                             bool more)
{
    uint8_t head[RESULT_HEAD_BYTES];
    struct wire_result result = {
        .job_id = job->job_id, .waited_us = 11, .ran_us = 22, .more = more, .data_length = length, .data = data};
    cr_assert_gt(wire_result_encode_head(&result, id, head, sizeof(head)), 0);
    cr_assert_eq(stream_send(stream, head, sizeof(head)), 0);
    if (length > 0)
        cr_assert_eq(stream_send(stream, data, length), 0);
}

static void node_send_endless(struct stream *stream, uint64_t id, const struct wire_job *job)
{
    static const uint8_t part[RESULT_PART_BYTES_MAX];
    for (uint32_t sent = 0; sent < USHER_RESULT_BYTES_MAX; sent += (uint32_t)sizeof(part))
        node_send_result(stream, id, job, part, sizeof(part), true);
    node_send_result(stream, id, job, part, 1, false);
}

static void node_answer(struct fake_node *node, struct stream *stream, uint64_t id, const struct wire_job *job)
{
    uint8_t bytes[256];
    switch (node->mode) {
    case FAKE_RESULT: node_send_result(stream, id, job, job->data, job->data_length, false); return;
    case FAKE_PARTS:
        for (uint32_t i = 0; i < job->data_length; i++)
            node_send_result(stream, id, job, job->data + i, 1, i + 1 < job->data_length);
        return;
    case FAKE_PART_AND_BREAK:
        node_send_result(stream, id, job, job->data, job->data_length, true);
        stream_close(stream);
        return;
    case FAKE_ENDLESS: node_send_endless(stream, id, job); return;
    case FAKE_BUSY_ONCE: {
        struct wire_busy busy = {.job_id = job->job_id, .retry_after_ms = 10, .queued = 5};
        int length = wire_busy_encode(&busy, id, bytes, sizeof(bytes));
        cr_assert_eq(stream_send(stream, bytes, (size_t)length), 0);
        node->mode = FAKE_RESULT;
        return;
    }
    case FAKE_BREAK_ONCE:
        node->mode = FAKE_RESULT;
        stream_abort(stream);
        return;
    case FAKE_BREAK: stream_abort(stream); return;
    case FAKE_ERROR: {
        int length = wire_error_encode(node->code, node->started, false, NULL, id, bytes, sizeof(bytes));
        cr_assert_eq(stream_send(stream, bytes, (size_t)length), 0);
        return;
    }
    case FAKE_NO_PROTOCOL: cr_assert_eq(stream_send(stream, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 0); return;
    case FAKE_HANG: return;
    }
}

static size_t node_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct fake_node *node = ctx;
    struct frame frame;
    enum refusal refusal;
    struct wire_job job;
    int taken = frame_decode_stream(bytes, length, &frame, &refusal);
    if (taken < 0)
        return 0;
    cr_assert_eq(wire_job_decode(&frame, &job, &refusal), 0);
    node->jobs++;
    node->last = job;
    node_answer(node, stream, frame.request_id, &job);
    return (size_t)taken;
}

static void node_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    (void)error;
    ((struct fake_node *)ctx)->closed++;
}

static const struct stream_handlers node_handlers = {.on_bytes = node_on_bytes, .on_closed = node_on_closed};

static void node_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)listener;
    stream_set_handlers(stream, &node_handlers, ctx);
}

void fake_node_start(struct fake_node *node)
{
    struct listener_config config;
    listener_config_init(&config);
    config.limits.high_bytes = 128u << 20; /* FAKE_ENDLESS sends all at once */
    config.address = loopback();
    config.on_accept = node_on_accept;
    config.ctx = node;
    cr_assert_eq(listener_open(fake_loop, &config, &node->listener), 0);
    node->address = *listener_local_address(node->listener);
}
