#include "bench/load/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/engine_internal.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define ENGINE_WAIT_MAX_NS (100 * NS_PER_MS) /* a signal that comes just before the wait is seen after it */
#define ENGINE_RETRY_NS (100 * NS_PER_US)
#define ENGINE_LEDGER_MIN 1024u
#define ENGINE_SPIN_DIRECT_MAX 4u /* connections that are looked at without asking epoll */

void connection_lost(struct engine *engine, uint32_t connection, int error)
{
    connection_note(engine, connection, error);
    close(engine->connections[connection].fd); /* which also takes it out of epoll */
    engine->connections[connection].fd = -1;
    engine->connections_alive--;
}

/* How many units may still go: the ledger's room, and what --requests leaves. */
static uint32_t engine_allowance(const struct engine *engine)
{
    uint64_t requests = ledger_room(&engine->ledger);
    if (engine->requests_max > 0 && requests > engine->requests_max - engine->tally.sent)
        requests = engine->requests_max - engine->tally.sent;
    uint64_t units = requests / engine->unit_requests;
    return units < engine->units_batch ? (uint32_t)units : engine->units_batch;
}

static uint32_t engine_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count)
{
    return engine->config->stream ? engine_tcp_send(engine, connection, planned_ns, count)
                                  : engine_udp_send(engine, connection, planned_ns, count);
}

/* Closed loop: up to the depth. What leaves now counts from the last receive. */
static void engine_refill(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    while (connection->fd >= 0 && !engine->stopped) {
        uint32_t wanted = (engine->config->depth - connection->outstanding) / engine->unit_requests;
        uint32_t allowed = wanted > 0 ? engine_allowance(engine) : 0, count = wanted < allowed ? wanted : allowed;
        if (count == 0)
            return;
        for (uint32_t i = 0; i < count; i++)
            engine->due[i] = engine->now_ns;
        if (engine_send(engine, index, engine->due, count) < count)
            return;
    }
}

static void engine_refill_all(struct engine *engine)
{
    engine->refused = false;
    for (uint32_t i = 0; i < engine->connection_count; i++) {
        engine->now_ns = clock_monotonic_ns();
        engine_refill(engine, i);
    }
}

/* Takes what is due by now from the schedule, if nothing is left of what was. */
static void engine_take_due(struct engine *engine)
{
    if (engine->due_first < engine->due_count)
        return;
    engine->due_first = engine->due_count = 0;
    while (engine->due_count < engine->units_batch) {
        uint64_t planned_ns = schedule_next_ns(&engine->schedule);
        if (planned_ns > engine->now_ns || planned_ns >= engine->end_ns)
            return;
        engine->due[engine->due_count++] = planned_ns;
        schedule_advance(&engine->schedule);
    }
}

/* The next connection that still is one. */
static uint32_t engine_next_connection(struct engine *engine)
{
    do
        engine->turn = engine->turn + 1 < engine->connection_count ? engine->turn + 1 : 0;
    while (engine->connections[engine->turn].fd < 0 && engine->connections_alive > 0);
    return engine->turn;
}

/* Open loop: all that is due, the connections taking turns. Some batches at most, so that replies are not left lying. */
static void engine_send_due(struct engine *engine)
{
    engine->refused = false;
    for (uint32_t sent = 0; sent < 4 * ENGINE_BATCH && !engine->refused && engine->connections_alive > 0;) {
        engine->now_ns = clock_monotonic_ns();
        engine_take_due(engine);
        uint32_t due = engine->due_count - engine->due_first, allowed = due > 0 ? engine_allowance(engine) : 0;
        uint32_t count = engine->connection_count == 1 ? due : due > 0;
        if (count > allowed)
            count = allowed;
        if (due > 0 && allowed == 0)
            engine->refused = true;
        if (count == 0)
            return;
        count = engine_send(engine, engine_next_connection(engine), engine->due + engine->due_first, count);
        engine->due_first += count;
        sent += count;
    }
}

/* Looks at a part of the ledger: in a timeout at all of it, several times. */
static void engine_expire(struct engine *engine)
{
    uint64_t timeout_ns = engine->config->timeout_ns, id;
    uint32_t budget = ledger_sweep_begin(&engine->ledger, engine->now_ns, timeout_ns);
    while ((id = ledger_find_expired(&engine->ledger, engine->now_ns - timeout_ns, &budget)) != 0) {
        const struct ledger_entry *entry = &engine->ledger.entries[(uint32_t)id];
        uint32_t connection = entry->connection;
        engine->connections[connection].outstanding--;
        tally_lost(&engine->tally, entry->planned_ns, request_cause(engine, entry));
        if (engine->protocol->id_bytes == 0)
            ledger_abandon(&engine->ledger, id);
        else
            CHECK(ledger_close(&engine->ledger, id) != NULL);
        if (engine->rate <= 0)
            engine_refill(engine, connection);
    }
}

/* When there is something to do even if nothing arrives. */
static uint64_t engine_next_ns(const struct engine *engine)
{
    uint64_t next_ns = engine->now_ns + (engine->refused ? ENGINE_RETRY_NS : ENGINE_WAIT_MAX_NS);
    uint64_t sweep_ns = engine->now_ns + engine->config->timeout_ns / LEDGER_SWEEPS;
    if (!engine->measuring && engine->measure_from_ns < next_ns)
        next_ns = engine->measure_from_ns;
    if (engine->ledger.open_count > 0 && sweep_ns < next_ns)
        next_ns = sweep_ns;
    if (engine->stopped || engine->refused)
        return next_ns;
    if (engine->end_ns < next_ns)
        next_ns = engine->end_ns;
    if (engine->rate > 0 && engine->due_first < engine->due_count)
        next_ns = engine->due[engine->due_first];
    else if (engine->rate > 0 && schedule_next_ns(&engine->schedule) < next_ns)
        next_ns = schedule_next_ns(&engine->schedule);
    return next_ns;
}

/* False: nothing was there. */
static bool engine_receive(struct engine *engine, uint32_t index, uint32_t events)
{
    struct connection *connection = &engine->connections[index];
    bool any = false;
    if (connection->fd < 0)
        return false; /* lost by an earlier event of this batch */
    if (!engine->config->stream)
        any = engine_udp_receive(engine, index);
    if (engine->config->stream && (events & ~(uint32_t)EPOLLOUT))
        any = engine_tcp_receive(engine, index);
    if (engine->config->stream && (events & EPOLLOUT) && connection->fd >= 0)
        engine_tcp_flush(engine, index);
    if (engine->rate <= 0)
        engine_refill(engine, index);
    return any;
}

static bool engine_poll(struct engine *engine, uint64_t wait_ns)
{
    struct epoll_event events[ENGINE_EVENTS];
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    int count = epoll_pwait2(engine->epoll_fd, events, ENGINE_EVENTS, &wait, NULL);
    bool any = false;
    for (int i = 0; i < count; i++)
        any = engine_receive(engine, events[i].data.u32, events[i].events) || any;
    if (!any)
        engine->now_ns = clock_monotonic_ns();
    return any;
}

/* The connections themselves are asked, which saves a system call, but where a stream may want to be written to. */
static void engine_spin(struct engine *engine)
{
    uint64_t from_ns = engine->now_ns;
    bool any = false;
    if (engine->connection_count > ENGINE_SPIN_DIRECT_MAX || engine->config->stream)
        any = engine_poll(engine, 0);
    else
        for (uint32_t i = 0; i < engine->connection_count; i++)
            any = engine_receive(engine, i, EPOLLIN) || any;
    if (!any && engine->measuring && !engine->stopped)
        engine->idle_ns += engine->now_ns - from_ns;
}

static void engine_wait(struct engine *engine)
{
    if (engine->rate > 0)
        engine->now_ns = clock_monotonic_ns(); /* what was sent took its time */
    uint64_t next_ns = engine_next_ns(engine);
    (void)engine_poll(engine, next_ns > engine->now_ns ? next_ns - engine->now_ns : 0);
}

static void engine_measure_begin(struct engine *engine)
{
    engine->measuring = true;
    engine->cpu_begin = cpu_own_now();
    engine->used_from_ns = clock_monotonic_ns();
}

/* The time ends now. */
static void engine_interrupt(struct engine *engine)
{
    uint64_t now_ns = clock_monotonic_ns(), give_up_ns = schedule_give_up_ns(now_ns, engine->config->timeout_ns);
    engine->interrupted = true;
    engine->now_ns = now_ns;
    if (now_ns < engine->end_ns)
        engine->end_ns = now_ns;
    if (give_up_ns < engine->give_up_ns)
        engine->give_up_ns = give_up_ns;
}

static bool engine_is_over(const struct engine *engine)
{
    if (*engine->interrupts > 1 || engine->connections_alive == 0)
        return true;
    if (engine->requests_max > 0 && engine->tally.sent >= engine->requests_max)
        return true;
    if (engine->now_ns < engine->end_ns)
        return false;
    /* What was planned before the end is still to be sent; when the generator is behind by a timeout it gives up. */
    bool behind =
        engine->rate > 0 && (engine->due_first < engine->due_count || schedule_next_ns(&engine->schedule) < engine->end_ns);
    return !behind || engine->now_ns > engine->give_up_ns;
}

static void engine_stop(struct engine *engine)
{
    uint64_t one = 1;
    engine->stopped = true;
    engine->disconnected = engine->connections_alive == 0;
    engine->stopped_ns = engine->now_ns < engine->end_ns ? engine->now_ns : engine->end_ns;
    if (engine->measuring) {
        struct cpu_own now = cpu_own_now();
        engine->cpu_used.run_ns = now.run_ns - engine->cpu_begin.run_ns;
        engine->cpu_used.wait_ns = now.wait_ns - engine->cpu_begin.wait_ns;
        engine->used_for_ns = clock_monotonic_ns() - engine->used_from_ns;
    }
    CHECK(write(engine->stopped_fd, &one, sizeof(one)) == sizeof(one));
}

static void engine_publish(struct engine *engine)
{
    struct engine_progress *progress = &engine->progress;
    atomic_store_explicit(&progress->answered, engine->tally.answered, memory_order_relaxed);
    atomic_store_explicit(&progress->lost, engine->tally.lost, memory_order_relaxed);
    atomic_store_explicit(&progress->errors, engine->tally.errors, memory_order_relaxed);
    atomic_store_explicit(&progress->latency_us, (uint64_t)(engine->tally.latency_ns.sum / (double)NS_PER_US),
                          memory_order_relaxed);
}

static void engine_loop(struct engine *engine)
{
    engine->refused = true; /* nothing has been sent yet: the closed loop begins on all connections */
    while (!engine->stopped || (engine->ledger.open_count > 0 && *engine->interrupts < 2)) {
        if (UNLIKELY(!engine->measuring && engine->now_ns >= engine->measure_from_ns))
            engine_measure_begin(engine);
        if (UNLIKELY(*engine->interrupts > 0 && !engine->interrupted))
            engine_interrupt(engine);
        if (!engine->stopped && engine_is_over(engine))
            engine_stop(engine);
        if (!engine->stopped && engine->rate > 0)
            engine_send_due(engine);
        else if (!engine->stopped && engine->refused)
            engine_refill_all(engine);
        engine_expire(engine);
        engine_publish(engine);
        if (engine->config->spin)
            engine_spin(engine);
        else if (!engine->stopped || engine->ledger.open_count > 0)
            engine_wait(engine);
    }
}

/* What the schedule still held when the run was stopped; by the mean distance, which is exact for constant arrivals. */
static uint64_t engine_unsent(const struct engine *engine)
{
    uint64_t count = 0, next_ns = schedule_next_ns(&engine->schedule);
    if (engine->rate <= 0 || engine->requests_max > 0)
        return 0;
    for (uint32_t i = engine->due_first; i < engine->due_count; i++)
        count += tally_measures(&engine->tally, engine->due[i]);
    if (next_ns < engine->measure_from_ns)
        next_ns = engine->measure_from_ns;
    if (next_ns < engine->stopped_ns)
        count += 1 + (uint64_t)((double)(engine->stopped_ns - next_ns) / engine->schedule.interval_ns);
    return count * engine->unit_requests;
}

static void engine_conclude(struct engine *engine, struct engine_result *result)
{
    uint64_t id;
    uint32_t budget = engine->ledger.mask + 1;
    while ((id = ledger_find_expired(&engine->ledger, LEDGER_ABANDONED - 1, &budget)) != 0) { /* a second interrupt left these */
        tally_lost(&engine->tally, engine->ledger.entries[(uint32_t)id].planned_ns, TALLY_INTERRUPTED);
        ledger_abandon(&engine->ledger, id);
    }
    *result = (struct engine_result){
        .tally = engine->tally,
        .unsent = engine_unsent(engine),
        .nodes_named = engine->nodes.count,
        .interrupted = *engine->interrupts > 0,
        .disconnected = engine->disconnected,
        .measured_ns = engine->stopped_ns > engine->measure_from_ns ? engine->stopped_ns - engine->measure_from_ns : 0,
    };
    double took_ns = (double)engine->used_for_ns;
    if (took_ns <= 0)
        return;
    result->cpu = (double)engine->cpu_used.run_ns / took_ns;
    result->busy = engine->config->spin ? 1 - (double)engine->idle_ns / took_ns
                                        : (double)(engine->cpu_used.run_ns + engine->cpu_used.wait_ns) / took_ns;
}

/* The open loop has as many outstanding as come in a timeout, and half as many again. */
static uint32_t engine_ledger_capacity(const struct engine *engine)
{
    const struct engine_config *config = engine->config;
    double wanted = engine->rate > 0 ? engine->rate * (double)config->timeout_ns / (double)NS_PER_S * 1.5
                                     : (double)engine->connection_count * config->depth;
    wanted += config->group;
    if (wanted < ENGINE_LEDGER_MIN)
        return ENGINE_LEDGER_MIN;
    return wanted < engine->protocol->outstanding_max ? (uint32_t)wanted : engine->protocol->outstanding_max;
}

/* The nodes that may be named. */
static int engine_prepare_nodes(struct engine *engine)
{
    uint32_t index;
    for (uint32_t i = 0; i < engine->config->node_count; i++) {
        int error = node_set_add(&engine->nodes, &engine->config->nodes[i], &index);
        if (error < 0)
            return error;
    }
    engine->nodes.closed = engine->config->node_count > 0;
    return 0;
}

static void engine_prepare_requests(struct engine *engine)
{
    const struct engine_config *config = engine->config;
    uint32_t room = ENGINE_SEND_BYTES / engine->request_bytes, most;
    for (uint32_t i = 1; i < room; i++)
        memcpy(engine->requests + (size_t)i * engine->request_bytes, engine->requests, engine->request_bytes);
    engine->unit_requests = config->group;
    engine->unit_bytes = config->group * engine->request_bytes;
    most = config->stream ? ENGINE_REQUESTS_BATCH : ENGINE_BATCH;
    engine->units_batch = room / config->group < most ? room / config->group : most;
    if (!config->stream)
        engine_udp_prepare(engine);
}

static int engine_prepare(struct engine *engine, struct conf_error *ret_error)
{
    const struct engine_config *config = engine->config;
    int length = engine->protocol->request_write(config, engine->requests, sizeof(engine->requests), ret_error);
    if (length < 0)
        return length;
    engine->request_bytes = (uint32_t)length;
    engine_prepare_requests(engine);
    int error = ledger_init(&engine->ledger, engine_ledger_capacity(engine), (uint32_t)config->seed + engine->thread_index);
    if (error == 0)
        error = engine_prepare_nodes(engine);
    if (error == 0 && config->service_count > 1)
        error = service_turn_init(&engine->services, config->service, config->service_count);
    if (error == 0 && engine->protocol->id_bytes == 0) {
        engine->next = calloc((size_t)engine->ledger.mask + 1, sizeof(*engine->next));
        error = engine->next ? 0 : -ENOMEM;
    }
    if (error < 0) {
        conf_error_set(ret_error, "the run could not be prepared (%s)", error_text(error));
        return error;
    }
    return engine_connect(engine, ret_error);
}

/* Of a number of things that the threads share, this one's. */
static uint64_t engine_share(const struct engine *engine, uint64_t total)
{
    uint32_t threads = engine->config->threads;
    return total / threads + (engine->thread_index < total % threads);
}

int engine_new(const struct engine_config *config, uint32_t thread_index, const volatile sig_atomic_t *interrupts,
               struct engine **ret_engine, struct conf_error *ret_error)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    engine->config = config;
    engine->protocol = engine_protocol(config);
    engine->interrupts = interrupts;
    engine->thread_index = thread_index;
    engine->epoll_fd = -1;
    engine->connection_count = (uint32_t)engine_share(engine, config->connections);
    engine->requests_max = engine_share(engine, config->requests_max / config->group) * config->group;
    engine->rate = config->rate / config->threads;
    int error = engine_prepare(engine, ret_error);
    if (error < 0) {
        engine_free(engine);
        return error;
    }
    *ret_engine = engine;
    return 0;
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    engine_disconnect(engine);
    ledger_done(&engine->ledger);
    node_set_done(&engine->nodes);
    service_turn_done(&engine->services);
    free(engine->next);
    free(engine);
}

const struct engine_progress *engine_progress_of(const struct engine *engine)
{
    return &engine->progress;
}

void engine_run(struct engine *engine, uint64_t start_ns, int stopped_fd, struct engine_result *ret_result)
{
    const struct engine_config *config = engine->config;
    engine->stopped_fd = stopped_fd;
    engine->measure_from_ns = start_ns + config->warmup_ns;
    engine->end_ns = engine->measure_from_ns + config->duration_ns;
    engine->give_up_ns = engine->end_ns + config->timeout_ns;
    tally_init(&engine->tally, engine->measure_from_ns, config->timeout_ns);
    if (engine->rate > 0) {
        double units = engine->rate / engine->unit_requests;
        uint64_t offset_ns =
            config->arrivals == SCHEDULE_CONSTANT ? (uint64_t)(engine->thread_index * (double)NS_PER_S / config->rate) : 0;
        schedule_init(&engine->schedule, config->arrivals, units, start_ns + offset_ns, config->seed + engine->thread_index);
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* the default makes every planned send 50 us late */
    engine->now_ns = clock_monotonic_ns();
    engine_loop(engine);
    engine_conclude(engine, ret_result);
}
