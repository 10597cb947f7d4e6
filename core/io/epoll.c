/* The backend over epoll, recvmmsg and sendmmsg: for machines that forbid io_uring, and the baseline of the benchmarks.
 *
 * Level-triggered: what one batch leaves in a socket, the next one finds again, so that no busy socket starves the others.
 * A descriptor is in the epoll set only while something is wanted of it: HUP and ERR can't be masked and would spin. */
#include "core/io/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/io/socket.h"

/* Connections taken in per batch and listener. */
#define EPOLL_ACCEPTS_MAX 64
#define EPOLL_WAKE_KEY UINT64_MAX

static uint64_t epoll_key(const struct handle *handle)
{
    return (uint64_t)handle->loop->slots.slot[handle->slot].generation << 32 | handle->slot;
}

static void epoll_forget(struct handle *handle)
{
    struct epoll_state *state = handle->loop->backend_state;
    if (handle->backend_events != 0)
        (void)epoll_ctl(state->epoll_fd, EPOLL_CTL_DEL, handle->fd, NULL);
    handle->backend_events = 0;
}

int epoll_want(struct handle *handle, uint32_t events)
{
    struct epoll_state *state = handle->loop->backend_state;
    if (handle->backend_events == events)
        return 0;
    if (events == 0) {
        epoll_forget(handle);
        return 0;
    }
    struct epoll_event event = {.events = events, .data.u64 = epoll_key(handle)};
    if (epoll_ctl(state->epoll_fd, handle->backend_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, handle->fd, &event) < 0)
        return -errno;
    handle->backend_events = events;
    return 0;
}

static int epoll_open_failed(struct loop *loop, const char *what)
{
    int error = -errno;
    struct epoll_state *state = loop->backend_state;
    (void)snprintf(loop->reason, sizeof(loop->reason), "%s failed: %s", what, strerrordesc_np(-error));
    if (state->epoll_fd >= 0)
        (void)close(state->epoll_fd);
    free(state);
    loop->backend_state = NULL;
    return error;
}

static int epoll_open(struct loop *loop)
{
    struct epoll_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return -ENOMEM;
    loop->backend_state = state;
    state->reserve_fd = -1;
    state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (state->epoll_fd < 0)
        return epoll_open_failed(loop, "epoll_create1");
    state->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (state->wake_fd < 0)
        return epoll_open_failed(loop, "eventfd");
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = EPOLL_WAKE_KEY};
    if (epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, state->wake_fd, &event) < 0) {
        (void)close(state->wake_fd);
        return epoll_open_failed(loop, "epoll_ctl");
    }
    return 0;
}

static void epoll_close(struct loop *loop)
{
    struct epoll_state *state = loop->backend_state;
    (void)close(state->epoll_fd);
    (void)close(state->wake_fd);
    if (state->reserve_fd >= 0)
        (void)close(state->reserve_fd);
}

static void epoll_run_edge(struct loop *loop)
{
    (void)loop;
}

static uint64_t epoll_now_ns(struct loop *loop)
{
    (void)loop;
    return clock_monotonic_ns();
}

static uint64_t epoll_wall_ms(struct loop *loop)
{
    (void)loop;
    return clock_wall_ms();
}

/* epoll_pwait2 (5.11) takes nanoseconds; before, the time is rounded up so that no timer is looked at too early. */
static int epoll_sleep(struct epoll_state *state, uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == LOOP_FOREVER)
        return epoll_wait(state->epoll_fd, state->events, EPOLL_EVENTS_MAX, timeout_ns == 0 ? 0 : -1);
    if (!state->milliseconds_only) {
        struct timespec timeout = {
            .tv_sec = (time_t)(timeout_ns / NS_PER_S),
            .tv_nsec = (long)(timeout_ns % NS_PER_S),
        };
        int count = epoll_pwait2(state->epoll_fd, state->events, EPOLL_EVENTS_MAX, &timeout, NULL);
        if (count >= 0 || errno != ENOSYS)
            return count;
        state->milliseconds_only = true;
    }
    uint64_t timeout_ms = (timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(state->epoll_fd, state->events, EPOLL_EVENTS_MAX, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);
}

static int epoll_wait_backend(struct loop *loop, uint64_t timeout_ns)
{
    struct epoll_state *state = loop->backend_state;
    LOOP_COUNT(loop, enters, 1);
    int count = epoll_sleep(state, timeout_ns);
    state->event_count = count > 0 ? (uint32_t)count : 0;
    return count >= 0 || errno == EINTR ? 0 : -errno;
}

static void epoll_submit(struct loop *loop)
{
    (void)loop; /* flushing sent it */
}

static void epoll_wake(struct loop *loop)
{
    struct epoll_state *state = loop->backend_state;
    uint64_t one = 1;
    ssize_t written = write(state->wake_fd, &one, sizeof(one));
    (void)written; /* EAGAIN: the counter is full, so it is readable */
}

static void epoll_on_wake(struct loop *loop)
{
    struct epoll_state *state = loop->backend_state;
    uint64_t count;
    if (read(state->wake_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
        LOOP_COUNT(loop, wakeups, 1);
}

static void epoll_accept(struct loop *loop, struct listener *listener)
{
    for (int i = 0; i < EPOLL_ACCEPTS_MAX && !listener->handle.ending; i++) {
        int fd = accept4(listener->handle.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            listener_event_accept(listener, fd);
            continue;
        }
        if (errno == EAGAIN)
            return;
        int error = -errno;
        epoll_forget(&listener->handle);
        handle_operation_end(&listener->handle, OPERATION_RECEIVE);
        listener_event_error(listener, error);
        return;
    }
    (void)loop;
}

static void epoll_dispatch_handle(struct loop *loop, struct handle *handle, uint32_t events)
{
    switch (handle->kind) {
    case HANDLE_UDP: epoll_udp_receive(CONTAINER_OF(handle, struct udp, handle)); return;
    case HANDLE_STREAM: epoll_stream_dispatch(loop, CONTAINER_OF(handle, struct stream, handle), events); return;
    case HANDLE_LISTENER: epoll_accept(loop, CONTAINER_OF(handle, struct listener, handle)); return;
    default: watch_event(CONTAINER_OF(handle, struct watch, handle), events); /* the bits of poll and epoll are the same */
    }
}

static void epoll_dispatch(struct loop *loop)
{
    struct epoll_state *state = loop->backend_state;
    for (uint32_t i = 0; i < state->event_count; i++) {
        const struct epoll_event *event = &state->events[i];
        if (event->data.u64 == EPOLL_WAKE_KEY) {
            epoll_on_wake(loop);
            continue;
        }
        /* A handler before us in this batch may have ended it. */
        struct handle *handle = slots_find(&loop->slots, (uint32_t)event->data.u64, (uint32_t)(event->data.u64 >> 32));
        if (handle != NULL && !handle->ending)
            epoll_dispatch_handle(loop, handle, event->events);
    }
    state->event_count = 0;
}

static void epoll_batch_end(struct loop *loop)
{
    (void)loop; /* the next recvmmsg writes over the buffers */
}

static int epoll_listener_open(struct loop *loop, struct listener *listener)
{
    struct epoll_state *state = loop->backend_state;
    if (state->reserve_fd < 0)
        state->reserve_fd = socket_reserve();
    return socket_open_listener(&listener->config, true, &listener->handle.fd, &listener->local);
}

static bool epoll_listener_shed(struct loop *loop, struct listener *listener)
{
    struct epoll_state *state = loop->backend_state;
    return socket_shed(listener->handle.fd, &state->reserve_fd);
}

static void epoll_listener_arm(struct loop *loop, struct listener *listener)
{
    (void)loop;
    int error = epoll_want(&listener->handle, EPOLLIN);
    if (error < 0)
        listener_event_error(listener, error);
    else
        handle_operation_begin(&listener->handle, OPERATION_RECEIVE);
}

static int epoll_watch_arm(struct loop *loop, struct watch *watch)
{
    (void)loop;
    /* Errors alone still need an event bit: 0 means "not in the set" to us. EPOLLPRI comes to none of what is watched here. */
    return epoll_want(&watch->handle, watch->owner->events != 0 ? watch->owner->events : (uint32_t)EPOLLPRI);
}

static void epoll_watch_modify(struct loop *loop, struct watch *watch)
{
    /* Only memory could fail, and changing an entry needs none. */
    int error = epoll_watch_arm(loop, watch);
    CHECK(error == 0);
}

static void epoll_cancel(struct loop *loop, struct handle *handle)
{
    (void)loop;
    epoll_forget(handle);
    handle->operations = 0;
    if (handle->shut_down)
        (void)shutdown(handle->fd, SHUT_RDWR);
}

static void epoll_release(struct loop *loop, struct handle *handle)
{
    (void)loop;
    if (handle->kind == HANDLE_UDP)
        epoll_udp_release(CONTAINER_OF(handle, struct udp, handle));
    if (handle->kind != HANDLE_WATCH && handle->fd >= 0)
        (void)close(handle->fd);
}

const struct loop_backend loop_backend_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .run_begin = epoll_run_edge,
    .run_end = epoll_run_edge,
    .now_ns = epoll_now_ns,
    .wall_ms = epoll_wall_ms,
    .wait = epoll_wait_backend,
    .submit = epoll_submit,
    .dispatch = epoll_dispatch,
    .batch_end = epoll_batch_end,
    .wake = epoll_wake,
    .udp_open = epoll_udp_open,
    .udp_flush = epoll_udp_flush,
    .udp_tune = socket_tune_udp,
    .listener_open = epoll_listener_open,
    .listener_shed = epoll_listener_shed,
    .listener_arm = epoll_listener_arm,
    .stream_connect = epoll_stream_connect,
    .stream_attach = epoll_stream_attach,
    .stream_receive = epoll_stream_receive,
    .stream_send = epoll_stream_send,
    .stream_shut = epoll_stream_shut,
    .stream_leave = epoll_stream_leave,
    .watch_arm = epoll_watch_arm,
    .watch_modify = epoll_watch_modify,
    .cancel = epoll_cancel,
    .drop = socket_drop,
    .release = epoll_release,
};
