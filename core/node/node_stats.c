/* What other threads may see of a node: the loop's thread posts it on a board of relaxed atomics; each number is right by itself. */
#include <stdatomic.h>

#include "core/node/node_internal.h"

static void put_u32(_Atomic uint32_t *to, uint32_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

static uint32_t get_u32(const _Atomic uint32_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void put_float(_Atomic float *to, float value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

static float get_float(const _Atomic float *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

void node_publish(struct node *node)
{
    struct node_board *board = &node->board;
    const struct load_report *load = &node->report;
    put_u32(&board->phase, node->phase);
    put_float(&board->freshness_per_s, (float)freshness_budget_per_s(&node->teller.freshness));
    put_u32(&board->connections, node->connection_count);
    put_u32(&board->dispatchers, node->dispatcher_counts.count);
    atomic_store_explicit(&board->admin_drain, (node->announcement.heartbeats.admin.flags & WIRE_ADMIN_DRAIN) != 0,
                          memory_order_relaxed);
    atomic_store_explicit(&board->unable, node->unable, memory_order_relaxed);
    put_float(&board->load_index, load->index);
    put_float(&board->load_per_job, load->per_job);
    for (uint32_t i = 0; i < LOAD_PARTS; i++)
        put_float(&board->load_mean[i], load->mean[i]);
    const struct resource_report *resources = resources_report(node->resources);
    put_u32(&board->resources_known, resources->known);
    for (uint32_t i = 0; i < RESOURCES; i++)
        put_float(&board->resources[i], resources->value[i]);
    for (uint32_t i = 0; i < CHANGE_METRICS; i++)
        put_float(&board->change_rate[i], node->change.rate[i]);
    for (uint32_t i = 0; i < node->config.services.count; i++) {
        put_u32(&board->services[i].jobs, node->estimate.services[i].jobs);
        put_float(&board->services[i].mean_s, estimate_job_s(&node->estimate, i));
    }
    for (uint32_t i = 0; i < node->announcement.heartbeats.rm_count; i++) {
        const struct heartbeat_rm *rm = &node->announcement.heartbeats.rms[i];
        put_u32(&board->rms[i].state, rm->state);
        put_u32(&board->rms[i].region, rm->region);
        put_u32(&board->rms[i].dispatchers, rm->dispatcher_total);
        atomic_store_explicit(&board->rms[i].acknowledged_ns, rm->acknowledged_ns, memory_order_relaxed);
    }
}

void node_read_stats(const struct node *node, struct node_stats *ret_stats)
{
    const struct node_board *board = &node->board;
    struct node_stats stats = {
        .region = node->config.region,
        .slots = node->config.slots,
        .queue_max = node->config.queue_max,
        .freshness_per_s = get_float(&board->freshness_per_s),
        .jobs_queued = executors_queued(node->executors),
        .jobs_running = executors_running(node->executors),
        .connections = get_u32(&board->connections),
        .dispatchers = get_u32(&board->dispatchers),
        .load = {.index = get_float(&board->load_index), .per_job = get_float(&board->load_per_job)},
        .sleep_factor = executors_sleep_factor(node->executors),
        .takes_jobs = !node->config.no_jobs,
        .leaving = get_u32(&board->phase) >= NODE_LEAVING,
        .admin_drain = atomic_load_explicit(&board->admin_drain, memory_order_relaxed),
        .unable = atomic_load_explicit(&board->unable, memory_order_relaxed),
        .rm_count = node->config.rm_count,
        .service_count = node->config.services.count,
    };
    for (uint32_t i = 0; i < LOAD_PARTS; i++)
        stats.load.mean[i] = get_float(&board->load_mean[i]);
    stats.resources.known = get_u32(&board->resources_known);
    for (uint32_t i = 0; i < RESOURCES; i++)
        stats.resources.value[i] = get_float(&board->resources[i]);
    for (uint32_t i = 0; i < CHANGE_METRICS; i++)
        stats.change_rate[i] = get_float(&board->change_rate[i]);
    for (uint32_t i = 0; i < stats.service_count; i++)
        stats.services[i] = (struct node_service_stats){
            .name = node->config.services.items[i].name,
            .jobs = get_u32(&board->services[i].jobs),
            .mean_s = get_float(&board->services[i].mean_s),
        };
    for (uint32_t i = 0; i < stats.rm_count; i++)
        stats.rms[i] = (struct node_rm_stats){
            .address = node->config.rms[i],
            .http = (node->config.rm_http >> i & 1) != 0,
            .state = (enum heartbeat_state)get_u32(&board->rms[i].state),
            .region = (uint16_t)get_u32(&board->rms[i].region),
            .dispatchers = (uint16_t)get_u32(&board->rms[i].dispatchers),
            .acknowledged_ns = atomic_load_explicit(&board->rms[i].acknowledged_ns, memory_order_relaxed),
        };
    *ret_stats = stats;
}

const struct counters *node_counters(const struct node *node)
{
    return &node->counters;
}

const struct attachments *node_attachments(const struct node *node)
{
    return node->attachments;
}
