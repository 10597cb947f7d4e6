/* What the node's own heartbeats say, and what answers to them mean. How they get there is announcement.c's. */
#include <string.h>

#include "core/base/random.h"
#include "core/node/metadata.h"
#include "core/node/node_internal.h"

static uint8_t node_flags(const struct node *node)
{
    uint8_t flags = 0;
    if (node->phase >= NODE_LEAVING)
        flags |= WIRE_NODE_DRAINING;
    if (node->config.no_jobs)
        flags |= WIRE_NODE_NO_JOBS;
    return flags;
}

static void fill_register(void *ctx, struct wire_register *registration)
{
    const struct node *node = ctx;
    const struct service_set *services = &node->config.services;
    registration->kind = (uint8_t)node->config.kind;
    registration->node_flags = node_flags(node);
    registration->slots = (uint16_t)node->config.slots;
    registration->service_count = (uint8_t)services->count;
    for (uint32_t i = 0; i < services->count; i++) {
        struct wire_service_name *name = &registration->services[i];
        name->length = (uint8_t)strlen(services->items[i].name);
        memcpy(name->text, services->items[i].name, sizeof(name->text));
    }
}

static void add_services(const struct node *node, struct wire_heartbeat *heartbeat)
{
    const struct service_set *services = &node->config.services;
    heartbeat->service_count = (uint8_t)services->count;
    for (uint32_t i = 0; i < services->count; i++)
        heartbeat->services[i] = (struct wire_service_load){
            .service_id = services->items[i].id,
            .work_s = estimate_work_s(&node->estimate, i),
            .rate = estimate_is_guess(&node->estimate, i) ? 0 : estimate_rate(&node->estimate, i),
        };
}

static void fill_heartbeat(void *ctx, struct wire_heartbeat *heartbeat)
{
    struct node *node = ctx;
    const struct load_report *load = &node->report;
    estimate_look(&node->estimate, loop_now_ns(node->loop));
    teller_beat(node);
    heartbeat->kind = (uint8_t)node->config.kind;
    heartbeat->node_flags = node_flags(node);
    heartbeat->slots = (uint16_t)node->config.slots;
    heartbeat->load_index = load->index;
    heartbeat->load_per_job = load->per_job;
    heartbeat->jobs_queued = executors_queued(node->executors);
    heartbeat->jobs_running = executors_running(node->executors);
    add_services(node, heartbeat);
    heartbeat->echo_count = (uint8_t)node->dispatcher_counts.count;
    memcpy(heartbeat->echoes, node->dispatcher_counts.echoes, node->dispatcher_counts.count * sizeof(heartbeat->echoes[0]));
    metadata_add_host(heartbeat, load, resources_report(node->resources));
    metadata_add(heartbeat, WIRE_METADATA_QUEUE_LENGTH, load->mean[LOAD_QUEUE]);
}

static void report_rm(void *ctx, uint32_t rm_index, const char *text)
{
    const struct node *node = ctx;
    if (node->config.events.on_rm != NULL)
        node->config.events.on_rm(node->config.events.ctx, &node->announcement.heartbeats.rms[rm_index], text);
}

static void on_ack(void *ctx, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    struct node *node = ctx;
    if (node->announcement.heartbeats.rms[rm_index].state == HEARTBEAT_REACHED)
        teller_on_ack(node, ack);
}

static void on_look(void *ctx)
{
    teller_look(ctx);
    node_publish(ctx);
}

static const struct announcement_events events = {
    .fill_register = fill_register,
    .fill_heartbeat = fill_heartbeat,
    .on_change = report_rm,
    .on_error = report_rm,
    .on_ack = on_ack,
    .on_look = on_look,
};

static bool is_started(const struct node *node)
{
    return timer_is_running(&node->announcement.timer);
}

static void send_due(struct node *node)
{
    announcement_send(&node->announcement);
    node_publish(node);
}

void announcer_hasten(struct node *node)
{
    if (!is_started(node))
        return;
    heartbeats_hasten(&node->announcement.heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

void announcer_change(struct node *node)
{
    if (!is_started(node) || !heartbeats_heed_change(&node->announcement.heartbeats) || !teller_extra(node))
        return;
    counter_add(&node->counters, COUNTER_HEARTBEATS_EXTRA_CHANGE, 1);
    heartbeats_change(&node->announcement.heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

void announcer_report(struct node *node)
{
    counter_add(&node->counters, COUNTER_HEARTBEATS_EXTRA_QUEUE, 1);
    heartbeats_change(&node->announcement.heartbeats, loop_now_ns(node->loop));
    send_due(node);
}

static struct announcement *find(void *ctx, uint64_t request_id)
{
    struct node *node = ctx;
    (void)request_id;
    return &node->announcement;
}

static void on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    struct node *node = ctx;
    (void)udp;
    announcement_read(&node->counters, peer, bytes, length, find, node);
}

bool announcer_can_send(struct node *node, enum address_family family)
{
    return announcement_sockets_open(&node->sockets, family) == 0;
}

int announcer_start(struct node *node)
{
    const struct node_config *config = &node->config;
    struct announcement *announcement = &node->announcement;
    struct random_state random;
    node->sockets = (struct announcement_sockets){
        .loop = node->loop,
        .bind_ip = config->bind_ip,
        .on_answer = on_datagram,
        .ctx = node,
    };
    *announcement = (struct announcement){
        .events = &events,
        .ctx = node,
        .loop = node->loop,
        .counters = &node->counters,
        .sockets = &node->sockets,
        .node = config->address,
        .boot_id = config->boot_id,
    };
    int r = announcement_open(announcement, config->rms, config->rm_count, config->rm_http);
    if (r < 0)
        return r;
    random_init_from_kernel(&random);
    heartbeats_init(&announcement->heartbeats, config->rms, config->rm_count, config->region, config->heartbeat_ns,
                    random_unit(&random), loop_now_ns(node->loop));
    timer_start(node->loop, &announcement->timer, heartbeats_due_ns(&announcement->heartbeats));
    return 0;
}

void announcer_stop(struct node *node)
{
    announcement_close(&node->announcement);
    announcement_sockets_close(&node->sockets);
}
