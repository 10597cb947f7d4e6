#include "tests/unit/core/node/node_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/wire/service.h"

#define PATIENCE_NS (10 * NS_PER_S)

static void rm_answer(struct fixture *fixture, const struct address *peer, const struct frame *frame, uint64_t sequence)
{
    struct wire_heartbeat_ack ack = {
        .rm_id = 99,
        .nonce = 1,
        .region = fixture->rm_region,
        .flags = fixture->rm_flags,
        .acked_sequence = sequence,
        .admin = fixture->rm_admin,
        .dispatcher_total = (uint16_t)fixture->dispatcher_count,
        .dispatcher_count = (uint8_t)fixture->dispatcher_count,
        .node_total = fixture->rm_nodes,
        .trailer = {.boot_id = 99, .sequence = ++fixture->rm_sequence},
    };
    for (uint32_t i = 0; i < fixture->dispatcher_count; i++)
        ack.dispatchers[i] =
            (struct wire_ack_dispatcher){.boot_id = FIXTURE_BOOT_ID + i, .address = *udp_local_address(fixture->dispatchers[i])};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    int length = wire_heartbeat_ack_encode(&ack, frame->request_id, bytes, frame->length);
    cr_assert_gt(length, 0);
    fixture->rm_flags = 0;
    cr_assert_eq(udp_send(fixture->rm, peer, bytes, (uint32_t)length), 0);
}

static void rm_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct fixture *fixture = ctx;
    struct frame frame;
    enum refusal refusal;
    (void)udp;
    cr_assert_eq(frame_decode_datagram(bytes, length, &frame, &refusal), (int)length);
    uint64_t sequence;
    if (frame.type == FRAME_TYPE_REGISTER) {
        struct wire_register registration;
        cr_assert_eq(wire_register_decode(&frame, &registration, &refusal), 0);
        bool attached = !address_equal(&registration.node, &fixture->config.address);
        sequence = registration.trailer.sequence;
        *(attached ? &fixture->attached_register : &fixture->last_register) = registration;
        fixture->registers += !attached;
    } else {
        struct wire_heartbeat heartbeat;
        cr_assert_eq(frame.type, FRAME_TYPE_HEARTBEAT);
        cr_assert_eq(wire_heartbeat_decode(&frame, &heartbeat, &refusal), 0);
        bool attached = !address_equal(&heartbeat.node, &fixture->config.address);
        sequence = heartbeat.trailer.sequence;
        *(attached ? &fixture->attached_heartbeat : &fixture->last_heartbeat) = heartbeat;
        *(attached ? &fixture->attached_heartbeats : &fixture->heartbeats) += 1;
    }
    if (!fixture->rm_silent)
        rm_answer(fixture, peer, &frame, sequence);
}

static void dispatcher_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct fixture *fixture = ctx;
    struct frame frame;
    enum refusal refusal;
    (void)peer;
    cr_assert_eq(frame_decode_datagram(bytes, length, &frame, &refusal), (int)length, "one token in a datagram");
    cr_assert_eq(frame.type, FRAME_TYPE_IDLE_TOKEN);
    cr_assert_eq(wire_idle_token_decode(&frame, &fixture->last_token, &refusal), 0);
    uint32_t index = fixture->dispatchers[0] == udp ? 0 : 1;
    cr_expect_gt(fixture->last_token.trailer.sequence, fixture->token_sequence[index]);
    fixture->token_sequence[index] = fixture->last_token.trailer.sequence;
    fixture->tokens[index]++;
}

void fixture_add_dispatcher(struct fixture *fixture)
{
    struct udp_config config;
    cr_assert_lt(fixture->dispatcher_count, FIXTURE_DISPATCHERS_MAX);
    udp_config_init(&config);
    cr_assert_eq(address_parse("127.0.0.1:0", &config.address), 0);
    config.on_datagram = dispatcher_on_datagram;
    config.ctx = fixture;
    cr_assert_eq(udp_open(fixture->loop, &config, &fixture->dispatchers[fixture->dispatcher_count++]), 0);
}

static void on_rm(void *ctx, const struct heartbeat_rm *rm, const char *text)
{
    struct fixture *fixture = ctx;
    fixture->rm_events++;
    fixture->rm_state = rm->state;
    snprintf(fixture->rm_text, sizeof(fixture->rm_text), "%s", text);
}

static void on_drained(void *ctx)
{
    struct fixture *fixture = ctx;
    cr_expect_not(fixture->drained, "said once");
    fixture->drained = true;
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct fixture *fixture = ctx;
    (void)listener;
    cr_assert_eq(node_serve(fixture->node, stream), 0);
}

void fixture_services(struct fixture *fixture, const char *const *items, uint32_t count)
{
    static char copies[NODE_SERVICES_MAX][512];
    char *texts[NODE_SERVICES_MAX];
    struct conf_error why;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s", items[i]);
        texts[i] = copies[i];
    }
    struct conf_texts list = {.item = texts, .count = count};
    cr_assert_eq(service_set_parse(&list, &fixture->config.services, &why), 0, "%s", why.text);
}

static void fixture_init(struct fixture *fixture, struct loop *loop)
{
    static const char *const services[] = {"echo", "sleep", "spin", "digest", "blob"};
    memset(fixture, 0, sizeof(*fixture));
    fixture->loop = loop;
    fixture->rm_region = 1;
    fixture->config = (struct node_config){
        .loop = loop,
        .events = {.on_rm = on_rm, .on_drained = on_drained, .ctx = fixture},
        .kind = WIRE_NODE_WORKER,
        .boot_id = 1234,
        .region = 1,
        .rm_count = 1,
        .slots = 1,
        .queue_max = 16,
        .heartbeat_ns = 20 * NS_PER_MS,
        .load_window_ns = 20 * NS_PER_MS,
        .load_samples = 2,
        .load_weights = {0.3f, 0.1f, 0.1f, 0.5f},
        .queue_factor = 1,
        .sleep_factor = 1,
    };
    fixture->rm_nodes = 1;
    fixture_services(fixture, services, ARRAY_COUNT(services));
}

void fixture_start(struct fixture *fixture)
{
    static struct address rms[1];
    fixture_start_with(fixture, rms, 1, 0);
}

void fixture_start_with(struct fixture *fixture, struct address *rms, uint32_t rm_count, uint64_t rm_http)
{
    struct udp_config udp;
    udp_config_init(&udp);
    cr_assert_eq(address_parse("127.0.0.1:0", &udp.address), 0);
    udp.on_datagram = rm_on_datagram;
    udp.ctx = fixture;
    cr_assert_eq(udp_open(fixture->loop, &udp, &fixture->rm), 0);
    fixture->rm_address = *udp_local_address(fixture->rm);

    struct listener_config listener;
    listener_config_init(&listener);
    listener.address = udp.address;
    listener.connections_max = fixture->connections_max;
    listener.on_accept = on_accept;
    listener.ctx = fixture;
    cr_assert_eq(listener_open(fixture->loop, &listener, &fixture->listener), 0);

    for (uint32_t i = 0; i < rm_count; i++)
        if ((rm_http >> i & 1) == 0)
            rms[i] = fixture->rm_address;
    fixture->config.rms = rms;
    fixture->config.rm_count = rm_count;
    fixture->config.rm_http = rm_http;
    fixture->config.address = *listener_local_address(fixture->listener);
    fixture->config.bind_ip = fixture->config.address;
    cr_assert_eq(node_new(&fixture->config, &fixture->node), 0);
    cr_assert_eq(node_start(fixture->node), 0);
}

static void on_detached(void *ctx, struct stream_handoff *handoff)
{
    struct fixture *fixture = ctx;
    node_hand_over(fixture->node, handoff);
}

static size_t take_nothing(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct fixture *fixture = ctx;
    (void)bytes;
    (void)length;
    stream_detach(stream, on_detached, fixture);
    return 0;
}

static void ignore_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    (void)error;
}

static const struct stream_handlers first_handlers = {.on_bytes = take_nothing, .on_closed = ignore_closed};

static void on_first_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)listener;
    stream_set_handlers(stream, &first_handlers, ctx);
}

void fixture_hand_over(struct fixture *fixture)
{
    struct listener *listener;
    struct listener_config config;
    listener_config_init(&config);
    cr_assert_eq(address_parse("127.0.0.1:0", &config.address), 0);
    config.on_accept = on_first_accept;
    config.ctx = fixture;
    cr_assert_eq(listener_open(fixture->loop, &config, &listener), 0);
    fixture->config.address = *listener_local_address(listener);
}

static void fixture_done(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->client_count; i++) {
        struct client *client = &fixture->clients[i];
        if (client->stream != NULL) {
            stream_set_handlers(client->stream, NULL, NULL);
            stream_abort(client->stream);
        }
        buffer_done(&client->data);
    }
    node_free(fixture->node);
    loop_free(fixture->loop);
}

void on_each_loop(void (*body)(struct fixture *fixture))
{
    static const enum loop_kind kinds[] = {LOOP_EPOLL, LOOP_URING};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        static struct fixture fixture;
        struct loop_config config;
        struct loop *loop;
        loop_config_init(&config);
        config.kind = kinds[i];
        int r = loop_new(&config, &loop);
        if (r == USHER_EURINGFORBIDDEN)
            continue;
        cr_assert_eq(r, 0);
        fixture_init(&fixture, loop);
        body(&fixture);
        fixture_done(&fixture);
    }
}

static void client_on_open(void *ctx, struct stream *stream)
{
    struct client *client = ctx;
    (void)stream;
    client->open = true;
}

static void client_on_reply(struct client *client, const struct frame *frame)
{
    enum refusal refusal;
    struct reply reply = {.type = frame->type, .request_id = frame->request_id};
    if (frame->type == FRAME_TYPE_RESULT) {
        struct wire_result result;
        cr_assert_eq(wire_result_decode(frame, &result, &refusal), 0);
        reply.job_id = result.job_id;
        reply.waited_us = result.waited_us;
        reply.ran_us = result.ran_us;
        for (uint32_t i = 0; i < result.data_length && client->counts_only; i++)
            cr_assert_eq(result.data[i], (client->data_length + i) % 251);
        client->data_length += result.data_length;
        if (!client->counts_only)
            cr_assert_eq(buffer_append(&client->data, result.data, result.data_length), 0);
        if (result.more)
            return;
    } else if (frame->type == FRAME_TYPE_BUSY) {
        cr_assert_eq(wire_busy_decode(frame, &reply.busy, &refusal), 0);
        reply.job_id = reply.busy.job_id;
    } else {
        cr_assert_eq(frame->type, FRAME_TYPE_ERROR);
        cr_assert_eq(wire_error_decode(frame, &reply.error, &refusal), 0);
    }
    cr_assert_lt(client->reply_count, REPLIES_MAX);
    client->replies[client->reply_count++] = reply;
}

static size_t client_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct client *client = ctx;
    size_t taken = 0;
    (void)stream;
    while (taken < length) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (r == -EAGAIN)
            break;
        cr_assert_gt(r, 0);
        client_on_reply(client, &frame);
        taken += (size_t)r;
    }
    return taken;
}

static void client_on_closed(void *ctx, struct stream *stream, int error)
{
    struct client *client = ctx;
    (void)stream;
    (void)error;
    client->stream = NULL;
    client->closed = true;
}

static const struct stream_handlers client_handlers = {
    .on_open = client_on_open,
    .on_bytes = client_on_bytes,
    .on_closed = client_on_closed,
};

/* Until *flag, which the loop's handlers set. */
static void await_flag(struct fixture *fixture, const bool *flag, const char *what)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (!*flag) {
        cr_assert_lt(clock_monotonic_ns(), end_ns, "%s: %s", loop_kind_name(fixture->loop), what);
        cr_assert_eq(loop_run_once(fixture->loop, 50 * NS_PER_MS), 0);
    }
}

struct client *fixture_connect(struct fixture *fixture)
{
    struct stream_config config;
    cr_assert_lt(fixture->client_count, CLIENTS_MAX);
    struct client *client = &fixture->clients[fixture->client_count++];
    client->fixture = fixture;
    stream_config_init(&config);
    config.address = fixture->config.address;
    config.handlers = &client_handlers;
    config.ctx = client;
    cr_assert_eq(stream_connect(fixture->loop, &config, &client->stream), 0);
    await_flag(fixture, &client->open, "connecting");
    return client;
}

void client_send(struct client *client, const void *bytes, size_t length)
{
    cr_assert_eq(stream_send(client->stream, bytes, length), 0);
}

void client_submit(struct client *client, const struct job_request *request)
{
    const char *data = request->data == NULL ? "" : request->data;
    struct wire_job job = {
        .client_id = request->client_id,
        .job_id = request->job_id,
        .service_id = service_id(request->service, strlen(request->service)),
        .dispatcher_boot_id = request->dispatcher_boot_id,
        .service_time_ms = request->service_time_ms == 0 ? 10000 : request->service_time_ms,
        .wait_ms = request->wait_ms,
        .data_length = (uint32_t)strlen(data),
    };
    uint8_t head[JOB_HEAD_BYTES];
    cr_assert_eq(wire_job_encode_head(&job, request->job_id, head, sizeof(head)), JOB_HEAD_BYTES);
    client_send(client, head, sizeof(head));
    if (job.data_length > 0)
        client_send(client, data, job.data_length);
}

void client_leave(struct client *client)
{
    stream_abort(client->stream);
    await_flag(client->fixture, &client->closed, "closing");
}

const struct reply *client_find(const struct client *client, uint64_t request_id)
{
    for (uint32_t i = 0; i < client->reply_count; i++)
        if (client->replies[i].request_id == request_id)
            return &client->replies[i];
    return NULL;
}

const struct reply *client_await(struct client *client, uint64_t request_id)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (client_find(client, request_id) == NULL) {
        cr_assert_lt(clock_monotonic_ns(), end_ns, "%s: no reply to %d", loop_kind_name(client->fixture->loop), (int)request_id);
        cr_assert_eq(loop_run_once(client->fixture->loop, 50 * NS_PER_MS), 0);
    }
    return client_find(client, request_id);
}

void client_await_closed(struct client *client)
{
    await_flag(client->fixture, &client->closed, "the node closing");
}

void fixture_until(struct fixture *fixture, bool (*condition)(const struct fixture *fixture), const char *what)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (!condition(fixture)) {
        cr_assert_lt(clock_monotonic_ns(), end_ns, "%s: %s", loop_kind_name(fixture->loop), what);
        cr_assert_eq(loop_run_once(fixture->loop, NS_PER_MS), 0); /* jobs change without the loop's doing */
    }
}

void fixture_until_queued(struct fixture *fixture, uint32_t jobs)
{
    uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (fixture_stats(fixture).jobs_queued != jobs) {
        cr_assert_lt(clock_monotonic_ns(), end_ns, "%s: %u jobs wait", loop_kind_name(fixture->loop), jobs);
        cr_assert_eq(loop_run_once(fixture->loop, NS_PER_MS), 0);
    }
}

void fixture_run_for(struct fixture *fixture, uint64_t ns)
{
    uint64_t end_ns = clock_monotonic_ns() + ns;
    while (clock_monotonic_ns() < end_ns)
        cr_assert_eq(loop_run_once(fixture->loop, NS_PER_MS), 0);
}

void fixture_turn(struct fixture *fixture)
{
    for (int i = 0; i < 20; i++)
        cr_assert_eq(loop_run_once(fixture->loop, 100 * NS_PER_US), 0);
}

uint64_t fixture_count(const struct fixture *fixture, enum counter counter)
{
    return counter_read(node_counters(fixture->node), counter);
}

struct node_stats fixture_stats(const struct fixture *fixture)
{
    struct node_stats stats;
    node_read_stats(fixture->node, &stats);
    return stats;
}

bool one_job_runs(const struct fixture *fixture)
{
    return fixture_stats(fixture).jobs_running == 1;
}

/* Also for the loop, which counts a job out a moment after its executor. */
bool no_job_is_left(const struct fixture *fixture)
{
    struct node_stats stats = fixture_stats(fixture);
    uint32_t jobs = stats.jobs_running + stats.jobs_queued;
    for (uint32_t i = 0; i < stats.service_count; i++)
        jobs += stats.services[i].jobs;
    return jobs == 0;
}

bool is_drained(const struct fixture *fixture)
{
    return fixture->drained;
}
