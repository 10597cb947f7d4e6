/* A whole node at work: a loop, four executors, connections that come and go, jobs that end, fail, overrun and are cancelled; in the end
 * it drains. Every job must be answered once, unless its client left. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/node/node.h"
#include "core/wire/frame.h"
#include "core/wire/job.h"
#include "core/wire/service.h"
#include "tests/support/stress.h"

#define JOBS_DEFAULT 4000u
#define CLIENTS 8u
#define JOBS_AT_ONCE 8u

struct client {
    struct stream *stream; /* NULL: not connected */
    uint32_t waiting; /* jobs not answered */
};

static struct loop *loop;
static struct node *node;
static struct address address;
static struct random_state random_numbers;
static struct client clients[CLIENTS];
static uint32_t jobs_left, answered, lost;
static bool drained;

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct client *client = ctx;
    struct frame frame;
    enum refusal refusal;
    size_t taken = 0;
    (void)stream;
    for (;;) {
        int r = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (r == -EAGAIN)
            return taken;
        CHECK(r > 0);
        taken += (size_t)r;
        if ((frame.flags & FRAME_MORE) == 0) {
            CHECK(client->waiting > 0);
            client->waiting--;
            answered++;
        }
    }
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct client *client = ctx;
    (void)stream;
    (void)error;
    lost += client->waiting;
    *client = (struct client){.stream = NULL};
}

static const struct stream_handlers handlers = {.on_bytes = on_bytes, .on_closed = on_closed};

static void submit(struct client *client)
{
    static const char *const jobs[][2] = {{"echo", "abc"},  {"digest", "abc"}, {"sleep", "200us"}, {"blob", "300K"},
                                          {"sleep", "bad"}, {"sleep", "10s"},  {"none", ""}};
    const char *const *job = jobs[random_below(&random_numbers, ARRAY_COUNT(jobs))];
    struct wire_job wire = {
        .job_id = jobs_left,
        .service_id = service_id(job[0], strlen(job[0])),
        .service_time_ms = 1 + random_below(&random_numbers, 20),
        .wait_ms = random_below(&random_numbers, 3) * 10,
        .data_length = (uint32_t)strlen(job[1]),
    };
    uint8_t bytes[JOB_HEAD_BYTES + 16];
    int length = wire_job_encode_head(&wire, jobs_left, bytes, sizeof(bytes));
    CHECK(length == JOB_HEAD_BYTES);
    memcpy(bytes + length, job[1], wire.data_length);
    if (stream_send(client->stream, bytes, JOB_HEAD_BYTES + wire.data_length) < 0)
        return;
    client->waiting++;
    jobs_left--;
}

static void act(struct client *client)
{
    if (client->stream == NULL) {
        struct stream_config config;
        stream_config_init(&config);
        config.address = address;
        config.handlers = &handlers;
        config.ctx = client;
        CHECK(stream_connect(loop, &config, &client->stream) == 0);
    } else if (random_below(&random_numbers, 64) == 0) {
        stream_abort(client->stream);
    } else if (client->waiting < JOBS_AT_ONCE && jobs_left > 0) {
        submit(client);
    }
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    (void)listener;
    CHECK(node_serve(node, stream) == 0);
}

static void on_drained(void *ctx)
{
    (void)ctx;
    drained = true;
}

static void start(void)
{
    static char names[][8] = {"echo", "digest", "sleep", "blob"};
    char *items[] = {names[0], names[1], names[2], names[3]};
    struct conf_texts list = {.item = items, .count = ARRAY_COUNT(items)};
    struct conf_error why;
    struct loop_config loop_config;
    loop_config_init(&loop_config);
    CHECK(loop_new(&loop_config, &loop) == 0);
    struct listener_config listener_config;
    struct listener *listener;
    listener_config_init(&listener_config);
    CHECK(address_parse("127.0.0.1:0", &listener_config.address) == 0);
    listener_config.on_accept = on_accept;
    CHECK(listener_open(loop, &listener_config, &listener) == 0);
    address = *listener_local_address(listener);
    struct node_config config = {
        .loop = loop,
        .events = {.on_drained = on_drained},
        .kind = WIRE_NODE_WORKER,
        .address = address,
        .boot_id = 1,
        .region = 1,
        .rms = &address, /* nobody answers there */
        .rm_count = 1,
        .slots = 4,
        .queue_max = 16,
        .heartbeat_ns = 10 * NS_PER_MS,
        .load_window_ns = 10 * NS_PER_MS,
        .load_samples = 2,
        .queue_factor = 1,
        .sleep_factor = 1,
    };
    CHECK(service_set_parse(&list, &config.services, &why) == 0);
    CHECK(node_new(&config, &node) == 0 && node_start(node) == 0);
}

int main(int argc, char **argv)
{
    uint32_t job_count = jobs_left = stress_operations(argc, argv, JOBS_DEFAULT);
    random_init(&random_numbers, 20260202);
    start();
    while (jobs_left > 0) {
        act(&clients[random_below(&random_numbers, CLIENTS)]);
        CHECK(loop_run_once(loop, 200 * NS_PER_US) == 0);
    }
    node_announce_leaving(node);
    node_refuse_new(node);
    while (!drained)
        CHECK(loop_run_once(loop, NS_PER_MS) == 0);
    for (uint32_t i = 0; i < CLIENTS; i++)
        while (clients[i].stream != NULL)
            CHECK(loop_run_once(loop, NS_PER_MS) == 0);
    CHECK(answered + lost == job_count);
    struct node_stats stats;
    node_read_stats(node, &stats);
    CHECK(stats.jobs_queued == 0 && stats.jobs_running == 0 && stats.connections == 0);
    node_free(node);
    loop_free(loop);
    printf("%u jobs: %u answered, %u with a connection that ended\n", job_count, answered, lost);
    return 0;
}
