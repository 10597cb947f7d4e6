#include "core/io/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/backend.h"

/* How long loop_free waits for the kernel to let go of everything. */
#define LOOP_FREE_MS UINT64_C(1000)

void loop_config_init(struct loop_config *config)
{
    *config = (struct loop_config){
        .kind = LOOP_AUTO,
        .submission_entries = 1024,
        .completion_entries = 4096,
        .stream_buffers = 128,
        .stream_buffer_bytes = 8192,
    };
}

/* Cancellations that missed their operation are repeated. */
static void loop_on_ending_timer(void *ctx, struct timer *timer)
{
    struct loop *loop = ctx;
    struct list_link ending;
    (void)timer;
    list_take_all(&loop->ending, &ending);
    while (!list_is_empty(&ending))
        handle_cancel(CONTAINER_OF(ending.next, struct handle, link));
}

static void loop_init(struct loop *loop, const struct loop_config *config)
{
    memset(loop, 0, sizeof(*loop));
    loop->config = *config;
    slots_init(&loop->slots);
    list_init(&loop->handles);
    list_init(&loop->ending);
    list_init(&loop->ended);
    list_init(&loop->ready);
    list_init(&loop->udp_dirty);
    list_init(&loop->udp_ready);
    list_init(&loop->stream_dirty);
    stream_pool_init(&loop->stream_pool);
    timer_init(&loop->ending_timer, loop_on_ending_timer, loop);
    inbox_init(&loop->inbox);
}

static int loop_open_backend(struct loop *loop)
{
    const struct loop_config *config = &loop->config;
    if (config->backend != NULL) {
        loop->backend = config->backend;
        return loop->backend->open(loop);
    }
    if (config->kind != LOOP_EPOLL) {
        loop->backend = &loop_backend_uring;
        int error = loop->backend->open(loop);
        if (error == 0 || config->kind == LOOP_URING)
            return error;
    }
    loop->backend = &loop_backend_epoll;
    return loop->backend->open(loop);
}

int loop_new(const struct loop_config *config, struct loop **ret_loop)
{
    size_t bytes = (sizeof(struct loop) + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct loop *loop = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (loop == NULL)
        return -ENOMEM;
    loop_init(loop, config);
    int error = loop_open_backend(loop);
    if (error < 0) {
        if (config->reason != NULL)
            memcpy(config->reason, loop->reason, LOOP_REASON_BYTES);
        free(loop);
        return error;
    }
    loop->now_ns = loop->backend->now_ns(loop);
    *ret_loop = loop;
    return 0;
}

static void loop_end_all(struct loop *loop)
{
    struct list_link handles;
    list_take_all(&loop->handles, &handles);
    while (!list_is_empty(&handles)) {
        /* Ending takes it out of the list. */
        struct handle *handle = CONTAINER_OF(handles.next, struct handle, link);
        switch (handle->kind) {
        case HANDLE_UDP: udp_close(CONTAINER_OF(handle, struct udp, handle)); break;
        case HANDLE_STREAM: stream_fail(CONTAINER_OF(handle, struct stream, handle), USHER_ECANCELLED); break;
        case HANDLE_LISTENER: listener_close(CONTAINER_OF(handle, struct listener, handle)); break;
        default: poll_stop(CONTAINER_OF(handle, struct watch, handle)->owner);
        }
    }
}

/* Until the kernel holds none of our memory; on another thread than the loop's the ring refuses, and closing it must do. */
static void loop_drain(struct loop *loop)
{
    uint64_t deadline_ns = loop->backend->now_ns(loop) + LOOP_FREE_MS * NS_PER_MS;
    handles_finish(loop);
    while (!list_is_empty(&loop->ending) && loop->now_ns < deadline_ns) {
        if (loop->backend->wait(loop, HANDLE_CANCEL_RETRY_MS * NS_PER_MS) < 0)
            return;
        loop->now_ns = loop->backend->now_ns(loop);
        loop->backend->dispatch(loop);
        loop->backend->batch_end(loop);
        loop_on_ending_timer(loop, &loop->ending_timer);
        handles_finish(loop);
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    loop->freeing = true;
    loop_flush(loop);
    loop_end_all(loop);
    loop_drain(loop);
    loop->backend->close(loop);
    while (!list_is_empty(&loop->ending)) {
        struct handle *handle = CONTAINER_OF(loop->ending.next, struct handle, link);
        handle_operation_end(handle, (enum handle_operation)handle->operations);
    }
    handles_finish(loop);
    while (loop->timers != NULL)
        timer_stop(loop->timers);
    slots_done(&loop->slots);
    stream_pool_done(&loop->stream_pool);
    free(loop->backend_state);
    free(loop);
}

static void loop_flush_queues(struct loop *loop)
{
    if (!list_is_empty(&loop->stream_dirty))
        streams_flush(loop);
    for (struct list_link *link = loop->udp_dirty.next, *next; link != &loop->udp_dirty; link = next) {
        next = link->next; /* sending takes it out */
        loop->backend->udp_flush(loop, CONTAINER_OF(link, struct udp, dirty_link));
    }
}

void loop_flush(struct loop *loop)
{
    loop_flush_queues(loop);
    loop->backend->submit(loop);
}

static uint64_t loop_wait_ns(struct loop *loop, uint64_t timeout_ns)
{
    if (loop->config.spin || !list_is_empty(&loop->udp_ready) || !list_is_empty(&loop->ready) ||
        !list_is_empty(&loop->stream_dirty) || !list_is_empty(&loop->ended))
        return 0;
    uint64_t next_ns = timers_next_ns(loop);
    if (next_ns == LOOP_FOREVER || timeout_ns == 0)
        return timeout_ns;
    uint64_t now_ns = loop->backend->now_ns(loop);
    uint64_t until_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    return until_ns < timeout_ns ? until_ns : timeout_ns;
}

/* The sleeper sets its flag and then looks for messages; the poster pushes its message and then looks at the flag. With a full
 * fence between the two steps on both sides at least one of them sees the other, so no wake-up is lost, and a loop that is awake
 * costs the poster no system call. */
static bool loop_may_sleep(struct loop *loop)
{
    atomic_store_explicit(&loop->sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&loop->inbox.newest, memory_order_relaxed) == NULL &&
           !atomic_load_explicit(&loop->stopping, memory_order_relaxed);
}

static void loop_wake(struct loop *loop)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&loop->sleeping, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&loop->sleeping, 0, memory_order_relaxed) != 0)
        loop->backend->wake(loop);
}

static void loop_take_messages(struct loop *loop)
{
    if (atomic_load_explicit(&loop->inbox.newest, memory_order_relaxed) == NULL)
        return;
    struct inbox_node *node = inbox_take_all(&loop->inbox);
    while (node != NULL) {
        struct loop_message *message = CONTAINER_OF(node, struct loop_message, node);
        node = node->next; /* before fn, which may free it */
        message->fn(message->ctx, message);
    }
}

int loop_run_once(struct loop *loop, uint64_t timeout_ns)
{
    loop_flush_queues(loop);
    uint64_t wait_ns = loop_wait_ns(loop, timeout_ns);
    if (wait_ns > 0 && !loop_may_sleep(loop))
        wait_ns = 0;
    int error = loop->backend->wait(loop, wait_ns);
    atomic_store_explicit(&loop->sleeping, 0, memory_order_relaxed);
    if (UNLIKELY(error < 0))
        return error;
    loop->now_ns = loop->backend->now_ns(loop);
    LOOP_COUNT(loop, batches, 1);
    loop->backend->dispatch(loop);
    loop_take_messages(loop);
    if (!list_is_empty(&loop->ready))
        streams_run_ready(loop);
    timers_run(loop);
    if (loop->hook != NULL)
        loop->hook(loop->hook_ctx, loop);
    loop->backend->batch_end(loop);
    loop_flush_queues(loop);
    if (!list_is_empty(&loop->ended))
        handles_finish(loop);
    return 0;
}

/* A batch that takes in as many datagrams as this may have left some: io_uring hands over 20 to 32 at a time. */
#define LOOP_GAP_DATAGRAMS 8u

/* What was sent leaves before. */
static void loop_pause(struct loop *loop)
{
    uint64_t until_ns = loop->now_ns + loop->gap_ns;
    if (loop->gap_ns == 0 || loop->config.backend != NULL || clock_monotonic_ns() >= until_ns)
        return;
    loop_flush(loop);
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* a signal ends it early, and does no harm */
}

int loop_run(struct loop *loop)
{
    int error = 0;
    loop->backend->run_begin(loop);
    while (error == 0 && !atomic_load_explicit(&loop->stopping, memory_order_acquire)) {
        uint64_t received = atomic_load_explicit(&loop->stats.datagrams_received, memory_order_relaxed);
        error = loop_run_once(loop, LOOP_FOREVER);
        received = atomic_load_explicit(&loop->stats.datagrams_received, memory_order_relaxed) - received;
        if (received < LOOP_GAP_DATAGRAMS)
            loop_pause(loop);
    }
    atomic_store_explicit(&loop->stopping, false, memory_order_relaxed);
    loop_flush(loop);
    loop->backend->run_end(loop);
    return error;
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    loop_wake(loop);
}

void loop_post(struct loop *loop, struct loop_message *message)
{
    if (inbox_push(&loop->inbox, &message->node))
        loop_wake(loop);
}

void loop_set_batch_gap(struct loop *loop, uint64_t gap_ns)
{
    loop->gap_ns = gap_ns;
}

void loop_set_batch_hook(struct loop *loop, loop_batch_function *fn, void *ctx)
{
    loop->hook = fn;
    loop->hook_ctx = ctx;
}

const char *loop_kind_name(const struct loop *loop)
{
    return loop->backend->name;
}

const char *loop_fallback_reason(const struct loop *loop)
{
    return loop->reason;
}

const char *loop_shortage(const struct loop *loop)
{
    return loop->shortage;
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

uint64_t loop_wall_ms(struct loop *loop)
{
    return loop->backend->wall_ms(loop);
}

uint64_t loop_now_refresh(struct loop *loop)
{
    loop->now_ns = loop->backend->now_ns(loop);
    return loop->now_ns;
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
    return &loop->stats;
}
