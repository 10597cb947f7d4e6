/* Which servers there are, how their checks and their load go, and what other threads may see of that. */
#include "core/node/attach.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/node/attach_internal.h"
#include "core/node/attach_metric.h"
#include "core/node/node_internal.h"

/* Reading the kernel's tables of connections takes at most one part in so many of the time. */
#define CONNECTIONS_COST_DIVISOR 100u

const char *attach_state_name(enum attach_state state)
{
    static const char *const names[] = {[ATTACH_CHECKING] = "checking", [ATTACH_UP] = "up", [ATTACH_DOWN] = "down"};
    return names[state];
}

void attach_report(const struct attached *server, enum attach_event_kind kind, const struct attach_check *check,
                   const struct address *rm, const char *text)
{
    const struct node_events *events = &server->all->node->config.events;
    struct attach_event event = {
        .kind = kind,
        .server = &server->address,
        .service = check != NULL ? check->target->name : NULL,
        .rm = rm,
        .text = text,
    };
    if (kind == ATTACH_EVENT_BEGUN)
        event.milliseconds = attach_config_worst_ns(server->all->config) / NS_PER_MS;
    else if (check != NULL)
        event.milliseconds = atomic_load_explicit(&check->took_ns, memory_order_relaxed) / NS_PER_MS;
    if (events->on_attached != NULL)
        events->on_attached(events->ctx, &event);
}

static uint64_t problem_pack(const struct attach_problem *problem)
{
    return (uint64_t)problem->kind << 32 | (uint32_t)problem->value;
}

static struct attach_problem problem_unpack(uint64_t packed)
{
    return (struct attach_problem){.kind = (enum attach_problem_kind)(packed >> 32), .value = (int32_t)(uint32_t)packed};
}

static void on_check(void *ctx, const struct attach_result *result)
{
    struct attach_check *check = ctx;
    struct attached *server = check->server;
    const struct attach_config *config = server->all->config;
    bool good = result->problem.kind == ATTACH_NO_PROBLEM;
    char text[ATTACH_PROBLEM_BYTES];
    atomic_store_explicit(&check->problem, problem_pack(&result->problem), memory_order_relaxed);
    atomic_store_explicit(&check->took_ns, result->took_ns, memory_order_relaxed);
    counter_add(&server->all->node->counters, good ? COUNTER_ATTACH_CHECKS_GOOD : COUNTER_ATTACH_CHECKS_BAD, 1);
    if (result->problem.kind == ATTACH_UNABLE || !attach_health_take(&check->health, good, config->rise, config->fall))
        return;
    atomic_store_explicit(&check->state, good ? ATTACH_UP : ATTACH_DOWN, memory_order_relaxed);
    attach_report(server, good ? ATTACH_EVENT_UP : ATTACH_EVENT_DOWN, check, NULL, attach_problem_text(&result->problem, text));
    attach_announce(server);
    if (good && config->load == ATTACH_LOAD_METRIC && !server->metric_asked)
        attach_probe_hurry(&server->metric_probe); /* what its page said before the server was up did not count */
}

/* ---- load ---- */

static void in_use_set(struct attached *server, double in_use)
{
    server->in_use = in_use;
    atomic_store_explicit(&server->in_use_now, (float)in_use, memory_order_relaxed);
}

/* The beginning and the end of a time without knowledge are news. A server that does not give its page is not believed to be less loaded
 * for that: it may have no time for it. */
static void load_note(struct attached *server, const struct attach_problem *problem)
{
    const struct attach_config *config = server->all->config;
    bool good = problem->kind == ATTACH_NO_PROBLEM;
    bool was_known = server->metric_health.known;
    char text[ATTACH_PROBLEM_BYTES];
    atomic_store_explicit(&server->load_problem, problem_pack(problem), memory_order_relaxed);
    if (!attach_health_take(&server->metric_health, good, config->rise, config->fall))
        return;
    atomic_store_explicit(&server->load_known, good, memory_order_relaxed);
    if (!good && config->load == ATTACH_LOAD_METRIC && server->in_use < config->slots)
        server->in_use = config->slots;
    if (was_known || !good)
        attach_report(server, good ? ATTACH_EVENT_LOAD_KNOWN : ATTACH_EVENT_LOAD_UNKNOWN, NULL, NULL,
                      attach_problem_text(problem, text));
}

static void on_metric(void *ctx, const struct attach_result *result)
{
    struct attached *server = ctx;
    struct attach_problem problem = result->problem;
    double value;
    if (!attach_is_up(server))
        return; /* that its page can't be had either is no news */
    if (problem.kind == ATTACH_NO_PROBLEM) {
        int r = attach_metric_find(result->page, result->page_length, server->all->config->metric.name, &value);
        if (r == 0)
            in_use_set(server, value);
        else
            problem.kind = r == -ENOENT ? ATTACH_NO_METRIC : ATTACH_NOT_A_NUMBER;
    }
    load_note(server, &problem);
    if (!server->metric_asked) {
        server->metric_asked = true;
        attach_announce(server);
    }
}

static void connections_take(struct attachments *attachments, int result)
{
    struct attach_problem problem = {.kind = result < 0 ? ATTACH_UNABLE : ATTACH_NO_PROBLEM, .value = result};
    attachments->connections_known = true;
    for (uint32_t i = 0; i < attachments->server_count; i++) {
        if (result == 0)
            in_use_set(&attachments->servers[i], attachments->connections.servers[i].established);
        load_note(&attachments->servers[i], &problem);
    }
}

/* A step, and as much rest behind it as keeps all of them within their share of the time; but for the first round, which heartbeats
 * wait to tell of. */
static void on_connections_time(void *ctx, struct timer *timer)
{
    struct attachments *attachments = ctx;
    struct loop *loop = attachments->node->loop;
    uint64_t began_ns = loop_now_refresh(loop);
    if (attachments->connections_round_ns == 0)
        attachments->connections_round_ns = began_ns;
    int r = attach_connections_step(&attachments->connections);
    uint64_t now_ns = loop_now_refresh(loop);
    uint64_t next_ns = attachments->connections_known ? now_ns + (now_ns - began_ns) * CONNECTIONS_COST_DIVISOR : now_ns;
    if (r <= 0) {
        uint64_t round_ns = attachments->connections_round_ns + attachments->node->config.heartbeat_ns;
        next_ns = next_ns > round_ns ? next_ns : round_ns;
        attachments->connections_round_ns = 0;
        connections_take(attachments, r);
    }
    timer_start(loop, timer, next_ns);
}

/* ---- begin and end ---- */

static struct attached *server_for(struct attachments *attachments, const struct address *address)
{
    for (uint32_t i = 0; i < attachments->server_count; i++)
        if (address_equal(&attachments->servers[i].address, address))
            return &attachments->servers[i];
    struct attached *server = &attachments->servers[attachments->server_count];
    server->all = attachments;
    server->index = attachments->server_count++;
    server->address = *address;
    server->is_local = attach_address_is_local(address);
    if (attachments->config->load == ATTACH_LOAD_METRIC)
        server->in_use = attachments->config->slots; /* neither better than others nor out of the question */
    attach_connections_add(&attachments->connections, address);
    return server;
}

int attachments_new(struct node *node, struct attachments **ret_attachments)
{
    const struct attach_config *config = &node->config.attach;
    if (config->count == 0) {
        *ret_attachments = NULL;
        return 0;
    }
    struct attachments *attachments = calloc(1, sizeof(*attachments));
    if (attachments == NULL)
        return -ENOMEM;
    attachments->node = node;
    attachments->config = config;
    timer_init(&attachments->connections_timer, on_connections_time, attachments);
    attach_connections_init(&attachments->connections);
    for (uint32_t i = 0; i < config->count; i++) {
        struct attached *server = server_for(attachments, &config->targets[i].address);
        struct attach_check *check = &attachments->checks[i];
        check->server = server;
        check->target = &config->targets[i];
        server->checks[server->check_count++] = check;
    }
    *ret_attachments = attachments;
    return 0;
}

static int probes_start(struct attached *server, struct random_state *random)
{
    const struct attach_config *config = server->all->config;
    struct attach_probe_config probe = {
        .loop = server->all->node->loop,
        .address = server->address,
        .interval_ns = config->interval_ns,
        .timeout_ns = config->timeout_ns,
    };
    int r = 0;
    for (uint32_t i = 0; i < server->check_count && r == 0; i++) {
        probe.path = server->checks[i]->target->path;
        probe.on_result = on_check;
        probe.ctx = server->checks[i];
        r = attach_probe_start(&server->checks[i]->probe, &probe, 0);
    }
    if (r < 0 || config->load != ATTACH_LOAD_METRIC)
        return r;
    probe.path = config->metric.path;
    probe.address.port = config->metric.port != 0 ? config->metric.port : server->address.port;
    probe.wants_page = true;
    probe.on_result = on_metric;
    probe.ctx = server;
    return attach_probe_start(&server->metric_probe, &probe, (uint64_t)(random_unit(random) * (double)config->interval_ns / 10));
}

int attachments_start(struct attachments *attachments)
{
    struct random_state random;
    if (attachments == NULL)
        return 0;
    random_init_from_kernel(&random);
    int r = attach_announcer_start(attachments);
    for (uint32_t i = 0; i < attachments->server_count && r == 0; i++) {
        attach_report(&attachments->servers[i], ATTACH_EVENT_BEGUN, NULL, NULL, NULL);
        r = probes_start(&attachments->servers[i], &random);
    }
    if (r == 0 && attachments->config->load == ATTACH_LOAD_CONNECTIONS)
        timer_start(attachments->node->loop, &attachments->connections_timer, loop_now_ns(attachments->node->loop));
    return r;
}

void attachments_leave(struct attachments *attachments)
{
    if (attachments == NULL)
        return;
    attachments->leaving = true;
    for (uint32_t i = 0; i < attachments->server_count; i++)
        if (attachments->servers[i].announced)
            attach_announce(&attachments->servers[i]);
}

void attachments_free(struct attachments *attachments)
{
    if (attachments == NULL)
        return;
    timer_stop(&attachments->connections_timer);
    for (uint32_t i = 0; i < attachments->server_count; i++) {
        struct attached *server = &attachments->servers[i];
        for (uint32_t j = 0; j < server->check_count; j++)
            attach_probe_stop(&server->checks[j]->probe);
        attach_probe_stop(&server->metric_probe);
    }
    attach_announcer_stop(attachments);
    attach_connections_done(&attachments->connections);
    free(attachments);
}

/* ---- any thread ---- */

uint32_t attachments_count(const struct attachments *attachments)
{
    return attachments != NULL ? attachments->server_count : 0;
}

void attachments_read(const struct attachments *attachments, uint32_t index, struct attach_stats *ret_stats)
{
    const struct attached *server = &attachments->servers[index];
    enum attach_load load = attachments->config->load;
    struct attach_stats stats = {
        .address = server->address,
        .load_known = load == ATTACH_LOAD_HOST || load == ATTACH_LOAD_NONE ||
                      atomic_load_explicit(&server->load_known, memory_order_relaxed),
        .load_problem = problem_unpack(atomic_load_explicit(&server->load_problem, memory_order_relaxed)),
        .in_use = atomic_load_explicit(&server->in_use_now, memory_order_relaxed),
        .slots = attachments->config->slots,
        .load_index = atomic_load_explicit(&server->load_index, memory_order_relaxed),
        .admin_drain = atomic_load_explicit(&server->admin_drain, memory_order_relaxed),
        .rm_count = atomic_load_explicit(&server->rm_count, memory_order_relaxed),
        .service_count = server->check_count,
    };
    for (uint32_t i = 0; i < server->check_count; i++) {
        const struct attach_check *check = server->checks[i];
        stats.services[i] = (struct attach_service_stats){
            .name = check->target->name,
            .path = check->target->path,
            .state = (enum attach_state)atomic_load_explicit(&check->state, memory_order_relaxed),
            .problem = problem_unpack(atomic_load_explicit(&check->problem, memory_order_relaxed)),
            .check_ns = atomic_load_explicit(&check->took_ns, memory_order_relaxed),
        };
    }
    *ret_stats = stats;
}
