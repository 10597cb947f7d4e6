#include "bench/load/engine.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"

#define ENGINE_WAIT_MAX_NS (100 * NS_PER_MS) /* a signal that comes just before the wait is seen after it */
#define ENGINE_RETRY_NS (100 * NS_PER_US)
#define ENGINE_LEDGER_MIN 1024u
#define REQUEST_ID_OFFSET (FRAME_HEADER_BYTES - sizeof(uint64_t)) /* the header's last field */

uint32_t engine_request_bytes(const struct engine_config *config)
{
    /* Nodes mostly have addresses of the family that the dispatcher is asked at. Over TCP a reply may be longer than its request. */
    enum address_family family = config->dispatcher.family == ADDRESS_IPV6 ? ADDRESS_IPV6 : ADDRESS_IPV4;
    uint32_t bytes = wire_address_bytes(config->count, family);
    return bytes * config->pack <= DATAGRAM_BYTES_MAX ? bytes : 0;
}

void request_write(struct engine *engine, uint32_t connection, uint64_t planned_ns, uint8_t *bytes)
{
    uint64_t request_id = htobe64(ledger_open(&engine->ledger, planned_ns, connection));
    memcpy(bytes, engine->request, engine->request_bytes);
    memcpy(bytes + REQUEST_ID_OFFSET, &request_id, sizeof(request_id));
    engine->connections[connection].outstanding++;
}

void request_revoke(struct engine *engine, const uint8_t *bytes)
{
    struct ledger_entry entry;
    uint64_t request_id;
    memcpy(&request_id, bytes + REQUEST_ID_OFFSET, sizeof(request_id));
    if (ledger_close(&engine->ledger, be64toh(request_id), &entry))
        engine->connections[entry.connection].outstanding--;
}

/* NULL: it names at least one node, and not more than were asked for. */
static const char *reply_complaint(const struct engine *engine, const struct frame *frame)
{
    struct wire_address address;
    struct wire_error told;
    enum refusal refusal;
    int error = USHER_EPROTOCOL;
    if (LIKELY(frame->type == FRAME_TYPE_ADDRESS)) {
        error = wire_address_decode(frame, &address, &refusal);
        if (error >= 0 && address.count == 0)
            error = USHER_ETOOLARGE; /* no address fits into a reply as long as the request */
        else if (error >= 0)
            error = address.count <= engine->config->count ? 0 : USHER_EPROTOCOL;
    } else if (frame->type == FRAME_TYPE_ERROR) {
        error = wire_error_decode(frame, &told, &refusal);
        error = error < 0 ? error : wire_error_to_error(told.code);
    }
    return error < 0 ? error_name(error) : NULL;
}

void reply_take(struct engine *engine, uint32_t connection, const struct frame *frame)
{
    struct ledger_entry entry;
    if (UNLIKELY(!ledger_close(&engine->ledger, frame->request_id, &entry))) {
        engine->tally->unexpected++;
        return;
    }
    engine->connections[entry.connection].outstanding--;
    const char *complaint = entry.connection == connection ? reply_complaint(engine, frame) : error_name(USHER_EPROTOCOL);
    if (LIKELY(complaint == NULL))
        tally_answered(engine->tally, entry.planned_ns, engine->now_ns);
    else
        tally_refused(engine->tally, entry.planned_ns, complaint);
}

void connection_lost(struct engine *engine, uint32_t connection, int error)
{
    tally_error(engine->tally, error_name(error));
    close(engine->connections[connection].fd); /* which also takes it out of epoll */
    engine->connections[connection].fd = -1;
    engine->connections_alive--;
}

/* How many datagrams may still go: the ledger's room, and what --requests leaves. */
static uint32_t engine_allowance(const struct engine *engine)
{
    const struct engine_config *config = engine->config;
    uint64_t requests = ledger_room(&engine->ledger);
    if (config->requests_max > 0 && requests > config->requests_max - engine->tally->sent)
        requests = config->requests_max - engine->tally->sent;
    uint64_t datagrams = requests / config->pack;
    return datagrams < ENGINE_BATCH ? (uint32_t)datagrams : ENGINE_BATCH;
}

static uint32_t engine_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count)
{
    return engine->config->tcp ? engine_tcp_send(engine, connection, planned_ns, count)
                               : engine_udp_send(engine, connection, planned_ns, count);
}

/* Closed loop: up to the depth. */
static void engine_refill(struct engine *engine, uint32_t index)
{
    const struct engine_config *config = engine->config;
    struct connection *connection = &engine->connections[index];
    uint64_t planned_ns[ENGINE_BATCH];
    while (connection->fd >= 0 && !engine->stopped) {
        uint32_t wanted = (config->depth - connection->outstanding) / config->pack, allowed = engine_allowance(engine);
        uint32_t count = wanted < allowed ? wanted : allowed;
        if (count == 0)
            return;
        engine->now_ns = clock_monotonic_ns();
        for (uint32_t i = 0; i < count; i++)
            planned_ns[i] = engine->now_ns;
        if (engine_send(engine, index, planned_ns, count) < count)
            return;
    }
}

static void engine_refill_all(struct engine *engine)
{
    engine->refused = false;
    for (uint32_t i = 0; i < engine->config->connections; i++)
        engine_refill(engine, i);
}

/* Takes what is due by now from the schedule, if nothing is left of what was. */
static void engine_take_due(struct engine *engine)
{
    if (engine->due_first < engine->due_count)
        return;
    engine->due_first = engine->due_count = 0;
    while (engine->due_count < ENGINE_BATCH) {
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
        engine->turn = engine->turn + 1 < engine->config->connections ? engine->turn + 1 : 0;
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
        uint32_t due = engine->due_count - engine->due_first, allowed = engine_allowance(engine);
        uint32_t count = engine->config->connections == 1 ? due : due > 0;
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

static void engine_expire(struct engine *engine)
{
    struct ledger_entry entry;
    uint64_t timeout_ns = engine->config->timeout_ns;
    while (engine->now_ns > timeout_ns && ledger_expire(&engine->ledger, engine->now_ns - timeout_ns, &entry)) {
        engine->connections[entry.connection].outstanding--;
        tally_lost(engine->tally, entry.planned_ns);
        if (engine->config->rate <= 0)
            engine_refill(engine, entry.connection);
    }
}

/* When there is something to do even if nothing arrives. */
static uint64_t engine_next_ns(const struct engine *engine)
{
    uint64_t next_ns = engine->now_ns + (engine->refused ? ENGINE_RETRY_NS : ENGINE_WAIT_MAX_NS);
    if (!engine->measuring && engine->measure_from_ns < next_ns)
        next_ns = engine->measure_from_ns;
    if (engine->ledger.open_count > 0 && ledger_oldest_ns(&engine->ledger) + engine->config->timeout_ns < next_ns)
        next_ns = ledger_oldest_ns(&engine->ledger) + engine->config->timeout_ns;
    if (engine->stopped || engine->refused)
        return next_ns;
    if (engine->end_ns < next_ns)
        next_ns = engine->end_ns;
    if (engine->config->rate > 0 && engine->due_first < engine->due_count)
        next_ns = engine->due[engine->due_first];
    else if (engine->config->rate > 0 && schedule_next_ns(&engine->schedule) < next_ns)
        next_ns = schedule_next_ns(&engine->schedule);
    return next_ns;
}

static void engine_receive(struct engine *engine, const struct epoll_event *event)
{
    uint32_t index = event->data.u32;
    struct connection *connection = &engine->connections[index];
    if (connection->fd < 0)
        return; /* lost by an earlier event of this batch */
    if (!engine->config->tcp)
        engine_udp_receive(engine, index);
    if (engine->config->tcp && (event->events & ~(uint32_t)EPOLLOUT))
        engine_tcp_receive(engine, index);
    if (engine->config->tcp && (event->events & EPOLLOUT) && connection->fd >= 0)
        engine_tcp_flush(engine, index);
    if (engine->config->rate <= 0)
        engine_refill(engine, index);
}

static void engine_wait(struct engine *engine)
{
    struct epoll_event events[ENGINE_EVENTS];
    engine->now_ns = clock_monotonic_ns();
    uint64_t next_ns = engine_next_ns(engine), wait_ns = next_ns > engine->now_ns ? next_ns - engine->now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    int count = epoll_pwait2(engine->epoll_fd, events, ENGINE_EVENTS, &wait, NULL);
    engine->now_ns = clock_monotonic_ns();
    for (int i = 0; i < count; i++)
        engine_receive(engine, &events[i]);
}

static void engine_measure_begin(struct engine *engine)
{
    engine->measuring = true;
    cpu_sample_take(engine->config->server_pid, &engine->server_begin);
    engine->own_begin_ns = cpu_own_ns();
    engine->used_from_ns = clock_monotonic_ns();
}

static bool engine_is_over(const struct engine *engine)
{
    const struct engine_config *config = engine->config;
    if (*engine->interrupts > 0 || engine->connections_alive == 0)
        return true;
    if (config->requests_max > 0 && engine->tally->sent >= config->requests_max)
        return true;
    if (engine->now_ns < engine->end_ns)
        return false;
    /* What was planned before the end is still to be sent; when the generator is behind by a timeout it gives up. */
    bool behind =
        config->rate > 0 && (engine->due_first < engine->due_count || schedule_next_ns(&engine->schedule) < engine->end_ns);
    return !behind || engine->now_ns - engine->end_ns > config->timeout_ns;
}

static void engine_stop(struct engine *engine)
{
    engine->stopped = true;
    engine->disconnected = engine->connections_alive == 0;
    engine->stopped_ns = engine->now_ns < engine->end_ns ? engine->now_ns : engine->end_ns;
    if (!engine->measuring)
        return;
    engine->own_used_ns = cpu_own_ns() - engine->own_begin_ns;
    engine->used_for_ns = clock_monotonic_ns() - engine->used_from_ns;
    cpu_sample_take(engine->config->server_pid, &engine->server_end);
    engine->server_use = cpu_use_between(&engine->server_begin, &engine->server_end);
}

static void engine_report_progress(struct engine *engine)
{
    const struct tally *tally = engine->tally;
    if (!engine->config->progress || engine->now_ns < engine->report_at_ns)
        return;
    fprintf(stderr, "\r%s %llu answers/s, p99 %.3g ms, lost %llu, errors %llu\033[K",
            engine->measuring ? "measuring:" : "warming up:", (unsigned long long)(tally->answered - engine->reported),
            (double)histogram_quantile(&tally->latency_ns, 0.99) / 1e6, (unsigned long long)tally->lost,
            (unsigned long long)tally->errors);
    engine->reported = tally->answered;
    engine->report_at_ns += NS_PER_S;
}

static void engine_loop(struct engine *engine)
{
    engine->refused = true; /* nothing has been sent yet: the closed loop begins on all connections */
    while (!engine->stopped || (engine->ledger.open_count > 0 && *engine->interrupts < 2)) {
        engine->now_ns = clock_monotonic_ns();
        if (!engine->measuring && engine->now_ns >= engine->measure_from_ns)
            engine_measure_begin(engine);
        if (!engine->stopped && engine_is_over(engine))
            engine_stop(engine);
        if (!engine->stopped && engine->config->rate > 0)
            engine_send_due(engine);
        else if (!engine->stopped && engine->refused)
            engine_refill_all(engine);
        engine_expire(engine);
        engine_report_progress(engine);
        if (!engine->stopped || engine->ledger.open_count > 0)
            engine_wait(engine);
    }
    if (engine->config->progress)
        fprintf(stderr, "\r\033[K");
}

/* What the schedule still held when the run was stopped; by the mean distance, which is exact for constant arrivals. */
static uint64_t engine_unsent(const struct engine *engine)
{
    const struct engine_config *config = engine->config;
    uint64_t count = 0, next_ns = schedule_next_ns(&engine->schedule);
    if (config->rate <= 0 || config->requests_max > 0)
        return 0;
    for (uint32_t i = engine->due_first; i < engine->due_count; i++)
        count += tally_measures(engine->tally, engine->due[i]);
    if (next_ns < engine->measure_from_ns)
        next_ns = engine->measure_from_ns;
    if (next_ns < engine->stopped_ns)
        count += 1 + (uint64_t)((double)(engine->stopped_ns - next_ns) / engine->schedule.interval_ns);
    return count * config->pack;
}

static void engine_conclude(struct engine *engine, struct engine_result *result)
{
    struct ledger_entry entry;
    while (ledger_expire(&engine->ledger, UINT64_MAX, &entry)) /* a second interrupt left these */
        tally_lost(engine->tally, entry.planned_ns);
    result->unsent = engine_unsent(engine);
    result->interrupted = *engine->interrupts > 0;
    result->disconnected = engine->disconnected;
    result->measured_ns = engine->stopped_ns > engine->measure_from_ns ? engine->stopped_ns - engine->measure_from_ns : 0;
    result->server_cpu = result->server_thread_cpu = -1;
    double took_ns = (double)engine->used_for_ns;
    if (took_ns <= 0)
        return;
    result->client_cpu = (double)engine->own_used_ns / took_ns;
    if (engine->server_use.process_ns >= 0) {
        result->server_cpu = engine->server_use.process_ns / took_ns;
        result->server_thread_cpu = engine->server_use.busiest_ns / took_ns;
    }
}

/* The open loop has as many outstanding as come in a timeout, and half as many again. */
static uint32_t engine_ledger_capacity(const struct engine_config *config)
{
    double wanted = config->rate > 0 ? config->rate * (double)config->timeout_ns / (double)NS_PER_S * 1.5
                                     : (double)config->connections * config->depth;
    wanted += config->pack;
    if (wanted < ENGINE_LEDGER_MIN)
        return ENGINE_LEDGER_MIN;
    return wanted < LEDGER_CAPACITY_MAX ? (uint32_t)wanted : LEDGER_CAPACITY_MAX;
}

static int engine_prepare(struct engine *engine, struct conf_error *ret_error)
{
    const struct engine_config *config = engine->config;
    struct wire_address_request request = {.service_id = config->service_id, .count = config->count};
    engine->request_bytes = engine_request_bytes(config);
    int error = wire_address_request_encode(&request, 0, engine->request_bytes, engine->request, sizeof(engine->request));
    if (error > 0)
        error = ledger_init(&engine->ledger, engine_ledger_capacity(config), (uint32_t)config->seed);
    if (error < 0) {
        conf_error_set(ret_error, "the run could not be prepared (%s)", error_text(error));
        return error;
    }
    return engine_connect(engine, ret_error);
}

static void engine_start_clock(struct engine *engine)
{
    const struct engine_config *config = engine->config;
    uint64_t start_ns = clock_monotonic_ns();
    engine->now_ns = start_ns;
    engine->measure_from_ns = start_ns + config->warmup_ns;
    engine->end_ns = engine->measure_from_ns + config->duration_ns;
    engine->report_at_ns = start_ns + NS_PER_S;
    tally_init(engine->tally, engine->measure_from_ns, config->timeout_ns);
    if (config->rate > 0)
        schedule_init(&engine->schedule, config->arrivals, config->rate / config->pack, start_ns, config->seed);
}

int engine_run(const struct engine_config *config, const volatile sig_atomic_t *interrupts, struct engine_result *ret_result,
               struct conf_error *ret_error)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    memset(ret_result, 0, sizeof(*ret_result));
    engine->config = config;
    engine->interrupts = interrupts;
    engine->tally = &ret_result->tally;
    engine->epoll_fd = -1;
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* the default makes every planned send 50 us late */
    int error = engine_prepare(engine, ret_error);
    if (error == 0) {
        engine_start_clock(engine);
        engine_loop(engine);
        engine_conclude(engine, ret_result);
    }
    engine_disconnect(engine);
    ledger_done(&engine->ledger);
    free(engine);
    return error;
}
