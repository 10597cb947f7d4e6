#include "core/node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/node/node_internal.h"

/* Messages to the loop are members of the node, so it may not go before the loop has given them back. */
static void post(struct node *node, struct loop_message *message)
{
    atomic_fetch_add_explicit(&node->messages, 1, memory_order_relaxed);
    loop_post(node->loop, message);
}

static void message_came(struct node *node)
{
    atomic_fetch_sub_explicit(&node->messages, 1, memory_order_relaxed);
}

/* Any executor's thread: the inbox of finished parts is not empty any more. It stays so until on_parts, so that nobody else posts. */
static void parts_ready(void *ctx)
{
    struct node *node = ctx;
    post(node, &node->parts_message);
}

static void on_parts(void *ctx, struct loop_message *message)
{
    struct node *node = ctx;
    (void)message;
    message_came(node);
    if (node->freeing)
        return;
    struct job_part *part = executors_take(node->executors);
    while (part != NULL) {
        struct job_part *next = (struct job_part *)part->node.next;
        job_on_part(node, part);
        part = next;
    }
    if (node->teller.due)
        teller_look(node);
    node_publish(node);
    node_look_drained(node);
}

static void set_unable(struct node *node, int error)
{
    bool changed = (node->unable == 0) != (error == 0); /* another reason within an episode is no news */
    node->unable = error;
    if (changed && node->config.events.on_unable != NULL)
        node->config.events.on_unable(node->config.events.ctx, error);
}

void node_note_unable(struct node *node, int error)
{
    node->unable_ns = loop_now_ns(node->loop);
    set_unable(node, error);
}

/* (N8.) Samples as they are, not their means, which would hide how fast. */
static void look_at_changes(struct node *node, const struct load_sample *sample)
{
    const struct resource_report *report = resources_report(node->resources);
    const float values[CHANGE_METRICS] = {
        [CHANGE_CPU] = sample->part[LOAD_CPU],
        [CHANGE_MEMORY] = sample->part[LOAD_MEMORY],
        [CHANGE_DISK] = sample->part[LOAD_DISK],
        [CHANGE_QUEUE] = sample->part[LOAD_QUEUE] / (float)node->config.slots,
        [CHANGE_DISK_READ] = report->latest[RESOURCE_DISK_READ],
        [CHANGE_DISK_WRITE] = report->latest[RESOURCE_DISK_WRITE],
        [CHANGE_NIC_IN] = report->latest[RESOURCE_NIC_IN],
        [CHANGE_NIC_OUT] = report->latest[RESOURCE_NIC_OUT],
    };
    if (change_add(&node->change, loop_now_ns(node->loop), values))
        announcer_change(node);
}

static void on_sample_time(void *ctx, struct timer *timer)
{
    struct node *node = ctx;
    uint64_t part_ns = node->config.load_window_ns / node->config.load_samples;
    struct load_sample sample;
    resources_take(node->resources, loop_now_ns(node->loop), &sample);
    sample.part[LOAD_QUEUE] = (float)(executors_queued(node->executors) + executors_running(node->executors));
    load_add(&node->load, &sample);
    load_read(&node->load, &node->report);
    look_at_changes(node, &sample);
    if (node->unable != 0 && loop_now_ns(node->loop) - node->unable_ns >= NODE_UNABLE_NS)
        set_unable(node, 0);
    node_publish(node);
    /* A loop that was held up doesn't take the samples that it missed. */
    uint64_t now_ns = loop_now_ns(node->loop);
    node->sample_due_ns += part_ns * ((now_ns - node->sample_due_ns) / part_ns + 1);
    timer_start(node->loop, timer, node->sample_due_ns);
}

/* Each step includes the ones before it. */
static void enter_phase(struct node *node, enum node_phase phase)
{
    if (phase <= node->phase)
        return;
    enum node_phase before = node->phase;
    node->phase = phase;
    if (before < NODE_LEAVING) {
        announcer_hasten(node);
        attachments_leave(node->attachments);
    }
    bool refuses = before < NODE_REFUSING && phase >= NODE_REFUSING;
    if (refuses)
        node->refusing_ns = loop_now_ns(node->loop);
    for (struct connection *connection = node->connections; connection != NULL; connection = connection->next) {
        if (refuses)
            for (struct job *job = connection->jobs, *next; job != NULL; job = next) {
                next = job->next;
                job_drop(node, job, USHER_ESHUTDOWN);
            }
        if (phase == NODE_ABANDONING)
            connection_end(connection, JOB_STOP_LEAVING);
        connection_watch(connection);
    }
    node_publish(node);
    node_look_drained(node);
}

static void on_phase(void *ctx, struct loop_message *message)
{
    struct node *node = ctx;
    (void)message;
    message_came(node);
    /* First, so that a wish that comes now is posted anew; acquire and release by seq_cst order it before the look at the wish. */
    atomic_store_explicit(&node->phase_posted, false, memory_order_seq_cst);
    if (!node->freeing)
        enter_phase(node, (enum node_phase)atomic_load_explicit(&node->phase_wanted, memory_order_seq_cst));
}

static void want_phase(struct node *node, enum node_phase phase)
{
    uint32_t wanted = atomic_load_explicit(&node->phase_wanted, memory_order_relaxed);
    while (wanted < phase && !atomic_compare_exchange_weak_explicit(&node->phase_wanted, &wanted, phase, memory_order_seq_cst,
                                                                    memory_order_relaxed))
        ;
    if (!atomic_exchange_explicit(&node->phase_posted, true, memory_order_seq_cst))
        post(node, &node->phase_message);
}

void node_announce_leaving(struct node *node)
{
    want_phase(node, NODE_LEAVING);
}

void node_refuse_new(struct node *node)
{
    want_phase(node, NODE_REFUSING);
}

void node_abandon(struct node *node)
{
    want_phase(node, NODE_ABANDONING);
}

void node_look_drained(struct node *node)
{
    if (node->phase < NODE_REFUSING || node->drained || node->connections != NULL || node->job_count > 0)
        return;
    node->drained = true;
    if (node->config.events.on_drained != NULL)
        node->config.events.on_drained(node->config.events.ctx);
}

int node_serve(struct node *node, struct stream *stream)
{
    struct connection *connection;
    int r = connection_new(node, &connection);
    if (r < 0)
        return r;
    stream_set_handlers(stream, &connection_handlers, connection);
    connection_open(connection, stream);
    return 0;
}

struct hand_over {
    struct loop_message message;
    struct node *node;
    struct stream_handoff *handoff;
};

static bool has_room_for_connection(struct node *node)
{
    if (node->config.connections_max == 0 || node->connection_count < node->config.connections_max)
        return true;
    bool evicted = connection_evict(node);
    counter_add(&node->counters, evicted ? COUNTER_NODE_CONNECTIONS_EVICTED : COUNTER_NODE_CONNECTIONS_REFUSED, 1);
    return evicted;
}

static void on_hand_over(void *ctx, struct loop_message *message)
{
    struct hand_over *hand_over = ctx;
    struct node *node = hand_over->node;
    struct connection *connection = NULL;
    struct stream *stream;
    (void)message;
    message_came(node);
    if (node->freeing || !has_room_for_connection(node) || connection_new(node, &connection) < 0 ||
        stream_adopt(node->loop, hand_over->handoff, &connection_handlers, connection, &stream) < 0) {
        stream_handoff_free(hand_over->handoff);
        free(connection);
    } else {
        struct stream_limits limits;
        stream_limits_init(&limits); /* it comes with those of requests for addresses */
        stream_set_limits(stream, &limits);
        connection_open(connection, stream);
    }
    free(hand_over);
}

void node_hand_over(struct node *node, struct stream_handoff *handoff)
{
    struct hand_over *hand_over = malloc(sizeof(*hand_over));
    if (hand_over == NULL) {
        stream_handoff_free(handoff);
        return;
    }
    *hand_over = (struct hand_over){.message = {.fn = on_hand_over, .ctx = hand_over}, .node = node, .handoff = handoff};
    post(node, &hand_over->message);
}

void node_set_sleep_factor(struct node *node, double factor)
{
    executors_set_sleep_factor(node->executors, factor);
}

/* The caller's texts and lists may go after node_new. */
static int config_take(struct node *node, const struct node_config *from)
{
    struct node_config *config = &node->config;
    *config = *from;
    memcpy(node->rms, from->rms, from->rm_count * sizeof(node->rms[0]));
    config->rms = node->rms;
    if (config->no_jobs)
        config->services.count = 0;
    if (from->disk_path != NULL) {
        node->disk_path = strdup(from->disk_path);
        if (node->disk_path == NULL)
            return -ENOMEM;
        config->disk_path = node->disk_path;
    }
    for (uint32_t i = 0; i < config->services.count; i++) {
        struct service *service = &config->services.items[i];
        if (service->command == NULL)
            continue;
        node->commands[i] = strdup(service->command);
        if (node->commands[i] == NULL)
            return -ENOMEM;
        service->command = node->commands[i];
    }
    return 0;
}

static bool config_valid(const struct node_config *config)
{
    return config->boot_id != 0 && config->rm_count >= 1 && config->rm_count <= HEARTBEAT_RMS_MAX && config->slots >= 1 &&
           config->slots <= NODE_SLOTS_MAX && config->queue_max >= 1 && config->heartbeat_ns > 0 && config->load_samples > 0 &&
           config->load_window_ns >= config->load_samples && (config->load_disk == LOAD_DISK_BUSY || config->disk_path != NULL);
}

static int start_parts(struct node *node)
{
    struct load_config load = {
        .queue_factor = node->config.queue_factor,
        .slots = node->config.slots,
        .samples_max = node->config.load_samples,
    };
    memcpy(load.weights, node->config.load_weights, sizeof(load.weights));
    int r = load_init(&node->load, &load);
    if (r < 0)
        return r;
    load_read(&node->load, &node->report);
    change_init(&node->change, &node->config.change);
    r = dedupe_init(&node->dedupe);
    if (r < 0)
        return r;
    struct resources_config resources = {
        .disk = node->config.load_disk,
        .disk_path = node->config.disk_path,
        .window_ns = node->config.load_window_ns,
    };
    memcpy(resources.capacity, node->config.capacity, sizeof(resources.capacity));
    r = resources_new(&resources, loop_now_ns(node->loop), &node->resources);
    if (r < 0)
        return r;
    struct executors_config executors = {
        .slots = node->config.slots,
        .queue_max = node->config.queue_max,
        .sleep_factor = node->config.sleep_factor,
        .on_parts = parts_ready,
        .ctx = node,
    };
    return executors_new(&executors, &node->executors);
}

int node_new(const struct node_config *config, struct node **ret_node)
{
    if (!config_valid(config))
        return -EINVAL;
    struct node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return -ENOMEM;
    node->loop = config->loop;
    list_init(&node->idle);
    node->parts_message = (struct loop_message){.fn = on_parts, .ctx = node};
    node->phase_message = (struct loop_message){.fn = on_phase, .ctx = node};
    timer_init(&node->sample_timer, on_sample_time, node);
    int r = config_take(node, config);
    if (r == 0)
        estimate_init(&node->estimate, config->slots, loop_now_ns(config->loop));
    teller_init(node);
    if (r == 0)
        r = start_parts(node);
    if (r == 0)
        r = attachments_new(node, &node->attachments);
    if (r < 0) {
        node_free(node);
        return r;
    }
    *ret_node = node;
    return 0;
}

int node_start(struct node *node)
{
    int r = announcer_start(node);
    if (r == 0)
        r = attachments_start(node->attachments);
    if (r < 0)
        return r;
    node->sample_due_ns = loop_now_ns(node->loop) + node->config.load_window_ns / node->config.load_samples;
    timer_start(node->loop, &node->sample_timer, node->sample_due_ns);
    node_publish(node);
    return 0;
}

void node_free(struct node *node)
{
    if (node == NULL)
        return;
    node->freeing = true;
    timer_stop(&node->sample_timer);
    teller_stop(node);
    announcer_stop(node);
    attachments_free(node->attachments);
    for (struct connection *connection = node->connections, *next; connection != NULL; connection = next) {
        next = connection->next;
        connection_discard(connection);
    }
    executors_free(node->executors);
    while (atomic_load_explicit(&node->messages, memory_order_relaxed) > 0)
        if (loop_run_once(node->loop, 0) < 0)
            break; /* the backend is broken; so is everything else */
    resources_free(node->resources);
    dedupe_done(&node->dedupe);
    load_done(&node->load);
    for (uint32_t i = 0; i < NODE_SERVICES_MAX; i++)
        free(node->commands[i]);
    free(node->disk_path);
    free(node);
}
