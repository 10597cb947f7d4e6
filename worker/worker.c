#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/stream.h"
#include "core/io/udp.h"
#include "core/node/node.h"
#include "core/node/node_json.h"
#include "core/report/node_report.h"
#include "worker/datagrams.h"
#include "worker/options.h"

struct worker {
    struct daemon *daemon;
    const struct worker_options *options;
    struct listener *listener;
    struct udp *udp;
    struct node *node;
    struct counters counters; /* of the datagrams */
};

int worker_check(const void *options, struct conf_error *ret_error)
{
    const struct worker_options *worker = options;
    struct node_config config;
    int r = daemon_check_listen(&worker->daemon, &worker->own.listen, ret_error);
    if (r == 0)
        r = node_config_from_options(&worker->node, WIRE_NODE_WORKER, &config, ret_error);
    struct address own = daemon_address_of(&worker->daemon, &worker->own.listen);
    return r < 0 ? r : attach_config_check_own(&config.attach, &own, ret_error);
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct worker *worker = ctx;
    (void)listener;
    /* Without memory the stream is closed: its client tries another node. */
    if (node_serve(worker->node, stream) < 0)
        stream_abort(stream);
}

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct worker *worker = ctx;
    uint8_t answer[DATAGRAM_BYTES_MAX];
    size_t answer_length = datagram_answer(bytes, length, &worker->counters, answer);
    if (answer_length > 0 && udp_send(udp, peer, answer, (uint32_t)answer_length) < 0)
        return; /* no room: counted by the loop */
}

static void on_drained(void *ctx)
{
    struct worker *worker = ctx;
    daemon_drained(worker->daemon);
}

/* TCP and UDP on one port. */
static int listen_on(struct worker *worker, struct conf_error *ret_error)
{
    struct loop *loop = daemon_loop(worker->daemon);
    struct listener_config tcp;
    listener_config_init(&tcp);
    tcp.address = worker->options->own.listen;
    tcp.retry_bind = true;
    tcp.connections_max = NODE_CONNECTIONS_MAX;
    tcp.on_accept = on_accept;
    tcp.ctx = worker;
    int r = listener_open(loop, &tcp, &worker->listener);
    if (r < 0)
        return daemon_fail_listen(ret_error, "listen", &tcp.address, r);

    struct udp_config udp;
    udp_config_init(&udp);
    udp.address = *listener_local_address(worker->listener);
    udp.retry_bind = true;
    udp.on_datagram = on_datagram;
    udp.ctx = worker;
    r = udp_open(loop, &udp, &worker->udp);
    if (r < 0)
        return daemon_fail_listen(ret_error, "listen", &udp.address, r);
    daemon_set_listen_address(worker->daemon, &udp.address);
    return 0;
}

static int start_node(struct worker *worker, struct conf_error *ret_error)
{
    struct node_config config;
    int r = node_config_from_options(&worker->options->node, WIRE_NODE_WORKER, &config, ret_error);
    if (r < 0)
        return r;
    config.loop = daemon_loop(worker->daemon);
    config.events.on_rm = node_report_rm;
    config.events.on_unable = node_report_unable;
    config.events.on_attached = node_report_attached;
    config.events.on_drained = on_drained;
    config.events.ctx = worker;
    config.address = daemon_advertised_address(worker->daemon);
    config.bind_ip = *listener_local_address(worker->listener);
    config.boot_id = daemon_boot_id(worker->daemon);
    config.disk_path = daemon_state_dir(worker->daemon);
    r = node_new(&config, &worker->node);
    if (r < 0) {
        conf_error_set(ret_error, "cannot start %u executors: %s; choose fewer --slots or allow more (ulimit -u, -n)",
                       config.slots, error_text(r));
        return r;
    }
    r = node_start(worker->node);
    if (r < 0)
        conf_error_set(ret_error, "cannot open a socket for heartbeats: %s", error_text(r));
    return r;
}

int worker_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    worker->daemon = daemon;
    worker->options = options;
    int r = listen_on(worker, ret_error);
    if (r == 0)
        r = start_node(worker, ret_error);
    if (r < 0) {
        worker_stop(worker);
        return r;
    }
    *ret_state = worker;
    return 0;
}

void worker_drain(void *state, enum drain_phase phase)
{
    struct worker *worker = state;
    if (phase == DRAIN_ANNOUNCE) {
        node_announce_leaving(worker->node);
    } else if (phase == DRAIN_REFUSE) {
        /* A refused connection tells a client for certain that its job was not started. */
        listener_close(worker->listener);
        worker->listener = NULL;
        node_refuse_new(worker->node);
    } else {
        node_abandon(worker->node);
    }
}

void worker_stop(void *state)
{
    struct worker *worker = state;
    node_free(worker->node);
    if (worker->listener != NULL)
        listener_close(worker->listener);
    if (worker->udp != NULL)
        udp_close(worker->udp);
    free(worker);
}

/* Of the worker's own options only --sleep-factor can change. */
void worker_changed(void *state, const struct conf_option *option)
{
    struct worker *worker = state;
    (void)option;
    node_set_sleep_factor(worker->node, worker->options->node.sleep_factor);
}

void worker_status(void *state, json_t *answer)
{
    struct worker *worker = state;
    node_to_json(worker->node, clock_monotonic_ns(), answer);
}

void worker_measure(void *state, struct measures *measures)
{
    struct worker *worker = state;
    measures_add_counters(measures, &worker->counters);
    node_report_measure(worker->node, measures);
}

bool worker_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES])
{
    struct worker *worker = state;
    struct node_stats stats;
    node_read_stats(worker->node, &stats);
    if (stats.unable < 0)
        snprintf(ret_reason, DAEMON_REASON_BYTES, "programs can't be started: %s", error_text(stats.unable));
    for (uint32_t i = 0; i < stats.rm_count; i++)
        if (stats.rms[i].state == HEARTBEAT_REACHED)
            return true;
    snprintf(ret_reason, DAEMON_REASON_BYTES, "no resource manager acknowledges this node's heartbeats");
    return false;
}
