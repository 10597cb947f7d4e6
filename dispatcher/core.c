#include "dispatcher/core.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "dispatcher/core_internal.h"

/* Datagrams taken at a time, the others wait in the socket; a longest datagram is 1,232 bytes, longer ones are cut and refused. */
#define RECEIVE_BUFFERS 256u
#define RECEIVE_BUFFER_BYTES 1536u

/* Joined ones need room for 64 KiB each, or their last ones vanish. */
#define JOINED_BUFFERS 128u
#define JOINED_BUFFER_BYTES 65536u

/* Of all that 10,000 connections can have in flight, so that the kernel seldom has to keep any. */
#define COMPLETION_ENTRIES 16384u

#define SEND_PACKETS 1024u
#define SEND_BYTES (SEND_PACKETS * DATAGRAM_BYTES_MAX)

/* Some 5,000 requests: 25 ms of a whole core, half of what clients wait by default. With twice as much, all answers of a core that is
 * offered more than it can do come too late, until core/io/backlog.h has seen it. */
#define SOCKET_BYTES (2u << 20)

/* A tenth of the time that clients wait by default. */
#define SOCKET_AGE_NS_MAX (5 * NS_PER_MS)

/* A connection costs next to nothing while it is idle; this is for peers that went without a word. */
#define CONNECTION_IDLE_MS (10u * 60u * 1000u)

/* Of ports that the kernel picks for TCP and somebody has for UDP. */
#define PORT_TRIES 16u

static void core_on_again(void *ctx, struct timer *timer)
{
    /* Being called is all: the batch hook comes next. */
    (void)ctx;
    (void)timer;
}

static int core_open_loop(struct core *core)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = core->config.loop_kind;
    config.spin = core->config.spin;
    config.completion_entries = COMPLETION_ENTRIES;
    if (core->config.tcp_buffers > 0)
        config.stream_buffers = core->config.tcp_buffers;
    return loop_new(&config, &core->loop);
}

static int core_open_listener(struct core *core)
{
    struct listener_config config;
    listener_config_init(&config);
    config.address = core->address;
    config.reuseport = true;
    config.retry_bind = core->config.address.port != 0;
    config.connections_max = core->config.connections_max;
    config.per_address_max = core->config.connections_per_address;
    config.idle_ms = CONNECTION_IDLE_MS;
    config.limits.carry_bytes_max = CONNECTION_CARRY_BYTES_MAX;
    config.limits.high_bytes = CONNECTION_HIGH_BYTES;
    config.limits.low_bytes = CONNECTION_HIGH_BYTES / 4;
    config.on_accept = core_on_accept;
    config.ctx = core;
    int error = listener_open(core->loop, &config, &core->listener);
    if (error == 0)
        core->address.port = listener_local_address(core->listener)->port;
    return error;
}

static int core_open_udp(struct core *core)
{
    struct udp_config config;
    udp_config_init(&config);
    config.address = core->address;
    config.reuseport = true;
    config.retry_bind = core->config.address.port != 0;
    config.segmentation = core->config.joined_datagrams;
    config.receive_buffers = config.segmentation ? JOINED_BUFFERS : RECEIVE_BUFFERS;
    if (core->config.udp_buffers > 0)
        config.receive_buffers = core->config.udp_buffers;
    config.receive_buffer_bytes = config.segmentation ? JOINED_BUFFER_BYTES : RECEIVE_BUFFER_BYTES;
    config.send_packets = SEND_PACKETS;
    config.send_bytes = SEND_BYTES;
    config.socket_receive_bytes = SOCKET_BYTES;
    config.socket_send_bytes = SOCKET_BYTES;
    config.age_ns_max = SOCKET_AGE_NS_MAX;
    config.on_datagram = core_on_datagram;
    config.on_joined = core_on_joined;
    config.ctx = core;
    return udp_open(core->loop, &config, &core->udp);
}

/* One port for both. When the kernel is to pick it, TCP comes first: for UDP it may pick one that another daemon's cores share. */
static int core_open_sockets(struct core *core)
{
    for (uint32_t tries = PORT_TRIES;; tries--) {
        core->address = core->config.address;
        int error = core_open_listener(core);
        if (error < 0)
            return error;
        error = core_open_udp(core);
        if (error == 0)
            return 0;
        listener_close(core->listener);
        if (error != -EADDRINUSE || core->config.address.port != 0 || tries == 0)
            return error;
    }
}

static int core_allocate(struct core *core)
{
    core->run.source = CONNECTION_NONE;
    int error = request_queue_init(&core->queue, core->config.queue_capacity);
    return error < 0 ? error : connections_init(&core->connections, core->config.connections_max);
}

int core_new(const struct core_config *config, struct core **ret_core)
{
    struct random_state seed;
    struct core *core = memory_new_aligned(sizeof(*core));
    if (!core)
        return -ENOMEM;
    core->config = *config;
    core->shared = config->shared;
    random_init_from_kernel(&seed);
    pick_state_init(&core->picks, random_next(&seed), config->shared->queue_factor);
    if (config->shared->placement)
        core->picks.finish = &config->shared->placement->finish;
    core->answers = (struct answer_context){
        .picks = &core->picks,
        .values = config->shared->values,
        .queue = &core->queue,
        .counters = &core->counters,
        .boot_id = config->shared->boot_id,
        .region = config->shared->region,
    };
    timer_init(&core->again, core_on_again, NULL);
    timer_init(&core->look, core_on_look, core);
    int error = core_allocate(core);
    if (error == 0)
        error = core_open_loop(core);
    if (error == 0)
        error = core_open_sockets(core);
    if (error < 0) {
        core_free(core);
        return error;
    }
    core->sockets_open = true;
    loop_set_batch_hook(core->loop, core_on_batch, core);
    *ret_core = core;
    return 0;
}

static void *core_run(void *argument)
{
    struct core *core = argument;
    char name[16]; /* what the kernel keeps */
    (void)snprintf(name, sizeof(name), "core-%u", core->config.index);
    (void)pthread_setname_np(pthread_self(), name); /* for top -H and perf; it works without */
    int error = loop_run(core->loop);
    CHECK(error == 0); /* a thread that cannot answer any more must not look alive */
    return NULL;
}

int core_start(struct core *core)
{
    int error = -pthread_create(&core->thread, NULL, core_run, core);
    core->started = error == 0;
    return error;
}

static void core_on_close(void *ctx, struct loop_message *message)
{
    struct core *core = ctx;
    (void)message;
    if (!core->sockets_open)
        return;
    /* Who got into the queue gets an answer. */
    while (core_queue_length(core) > 0)
        core_on_batch(core, core->loop);
    core->sockets_open = false;
    udp_close(core->udp);
    listener_close(core->listener);
}

void core_close_sockets(struct core *core)
{
    core->close_message = (struct loop_message){.fn = core_on_close, .ctx = core};
    loop_post(core->loop, &core->close_message);
}

void core_stop(struct core *core)
{
    if (!core->started)
        return;
    loop_stop(core->loop);
    pthread_join(core->thread, NULL);
    core->started = false;
}

void core_free(struct core *core)
{
    if (!core)
        return;
    loop_free(core->loop);
    request_queue_done(&core->queue);
    connections_done(&core->connections);
    free(core);
}

const struct address *core_address(const struct core *core)
{
    return &core->address;
}

const struct counters *core_counters(const struct core *core)
{
    return &core->counters;
}

const struct loop *core_loop(const struct core *core)
{
    return core->loop;
}

uint32_t core_queue_length(const struct core *core)
{
    return (uint32_t)spsc_queue_length(&core->queue.items);
}

uint32_t core_connections(const struct core *core)
{
    return atomic_load_explicit(&core->connections.count, memory_order_relaxed);
}
