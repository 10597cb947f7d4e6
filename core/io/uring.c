/* The io_uring backend: submission, completion, and the small operations. Datagrams and streams have files of their own. */
#include "core/io/uring.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/io/socket.h"

/* Submission */

static void uring_enable(struct uring_state *state)
{
    if (LIKELY(state->enabled))
        return;
    int error = io_uring_enable_rings(&state->ring);
    CHECK(error == 0);
    state->enabled = true;
}

struct io_uring_sqe *uring_entry(struct uring_state *state)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);
    if (LIKELY(sqe != NULL))
        return sqe;
    /* Before the ring is enabled nothing can be submitted: that belongs to the thread that will run the loop. */
    if (!state->enabled || io_uring_submit(&state->ring) < 0)
        return NULL;
    return io_uring_get_sqe(&state->ring);
}

static void uring_prepare_cancel(struct handle *handle, struct io_uring_sqe *sqe)
{
    /* By descriptor, since a cancellation by user_data can report that there is nothing while there is (liburing#1375). Not for
     * watches: their descriptor is the owner's, may be closed already, and its number in use for something else. */
    if (handle->kind == HANDLE_WATCH)
        io_uring_prep_cancel64(sqe, uring_user_data(handle, OPERATION_RECEIVE), 0);
    else
        io_uring_prep_cancel_fd(sqe, handle->fd, IORING_ASYNC_CANCEL_ALL);
}

static void uring_prepare_receive(struct handle *handle, struct io_uring_sqe *sqe)
{
    if (handle->kind == HANDLE_UDP) {
        io_uring_prep_poll_add(sqe, handle->fd, POLLIN);
    } else if (handle->kind == HANDLE_LISTENER) {
        io_uring_prep_multishot_accept(sqe, handle->fd, NULL, NULL, SOCK_CLOEXEC);
    } else {
        struct watch *watch = CONTAINER_OF(handle, struct watch, handle);
        watch->armed_events = watch->owner->events;
        io_uring_prep_poll_add(sqe, handle->fd, watch->armed_events);
    }
}

static void uring_prepare(struct handle *handle, enum handle_operation operation, struct io_uring_sqe *sqe)
{
    if (operation == OPERATION_CANCEL)
        uring_prepare_cancel(handle, sqe);
    else if (handle->kind == HANDLE_STREAM)
        uring_stream_prepare(CONTAINER_OF(handle, struct stream, handle), operation, sqe);
    else
        uring_prepare_receive(handle, sqe);
    io_uring_sqe_set_data64(sqe, uring_user_data(handle, (uint32_t)operation));
}

void uring_queue(struct loop *loop, struct handle *handle, enum handle_operation operation)
{
    struct uring_state *state = loop->backend_state;
    struct io_uring_sqe *sqe = uring_entry(state);
    handle_operation_begin(handle, operation);
    if (LIKELY(sqe != NULL)) {
        uring_prepare(handle, operation, sqe);
        return;
    }
    if (handle->backend_events == 0)
        list_append(&state->deferred, &handle->backend_link);
    handle->backend_events |= (uint32_t)operation;
}

static void uring_queue_deferred(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    struct list_link deferred;
    list_take_all(&state->deferred, &deferred);
    for (struct list_link *link; (link = list_take_first(&deferred)) != NULL;) {
        struct handle *handle = CONTAINER_OF(link, struct handle, backend_link);
        uint32_t operations = handle->backend_events;
        handle->backend_events = 0;
        for (uint32_t operation = OPERATION_RECEIVE; operation <= OPERATION_PAUSE; operation <<= 1) {
            if ((operations & operation) != 0)
                uring_queue(loop, handle, (enum handle_operation)operation);
        }
    }
}

static void uring_arm_wake(struct uring_state *state)
{
    if (LIKELY(state->wake_armed))
        return;
    struct io_uring_sqe *sqe = uring_entry(state);
    if (sqe == NULL)
        return;
    io_uring_prep_read(sqe, state->wake_fd, &state->wake_count, sizeof(state->wake_count), 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)URING_OPERATION_WAKE << 56);
    state->wake_armed = true;
}

static int uring_enter(struct uring_state *state, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    if (timeout_ns == 0 || io_uring_cq_ready(&state->ring) > 0)
        return io_uring_submit_and_get_events(&state->ring);
    if (timeout_ns == LOOP_FOREVER)
        return io_uring_submit_and_wait(&state->ring, 1);
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_ns / NS_PER_S),
        .tv_nsec = (long long)(timeout_ns % NS_PER_S),
    };
    return io_uring_submit_and_wait_timeout(&state->ring, &cqe, 1, &timeout, NULL);
}

/* Nothing to submit, nothing to fetch: a spinning loop makes no system call. */
static bool uring_may_skip_enter(struct uring_state *state)
{
    uint32_t flags = IO_URING_READ_ONCE(*state->ring.sq.kflags);
    return io_uring_sq_ready(&state->ring) == 0 && (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) == 0;
}

static int uring_wait(struct loop *loop, uint64_t timeout_ns)
{
    struct uring_state *state = loop->backend_state;
    uring_enable(state);
    if (UNLIKELY(!list_is_empty(&state->deferred)))
        uring_queue_deferred(loop);
    uring_arm_wake(state);
    if (timeout_ns == 0 && uring_may_skip_enter(state))
        return 0;
    LOOP_COUNT(loop, enters, 1);
    int error = uring_enter(state, timeout_ns);
    /* EBUSY, EAGAIN: the kernel wants its completions fetched, or has no memory, before it takes more: both are for the next
     * batch, after this one's dispatch. */
    if (error >= 0 || error == -ETIME || error == -EINTR || error == -EBUSY || error == -EAGAIN)
        return 0;
    return error;
}

static void uring_submit(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    if (loop->freeing && !state->enabled)
        return;
    uring_enable(state);
    LOOP_COUNT(loop, enters, 1);
    (void)io_uring_submit(&state->ring); /* what it doesn't take stays queued */
}

/* Completion */

static void uring_accepted(struct loop *loop, struct listener *listener, int result, uint32_t flags)
{
    bool more = (flags & IORING_CQE_F_MORE) != 0;
    if (!more)
        handle_operation_end(&listener->handle, OPERATION_RECEIVE);
    if (result >= 0)
        listener_event_accept(listener, result);
    if (more || listener->handle.ending)
        return;
    if (result < 0)
        listener_event_error(listener, result);
    else
        uring_queue(loop, &listener->handle, OPERATION_RECEIVE);
}

static void uring_watch_complete(struct loop *loop, struct watch *watch, uint32_t operation, int result)
{
    struct handle *handle = &watch->handle;
    handle_operation_end(handle, (enum handle_operation)operation);
    if (handle->ending)
        return;
    if (operation == OPERATION_RECEIVE) {
        if (result >= 0)
            watch_event(watch, (uint32_t)result);
        else if (result != -ECANCELED)
            watch_event(watch, POLLERR);
        if (!handle->ending)
            uring_queue(loop, handle, OPERATION_RECEIVE);
    } else if ((handle->operations & OPERATION_RECEIVE) != 0 && watch->armed_events != watch->owner->events) {
        uring_queue(loop, handle, OPERATION_CANCEL); /* it missed */
    }
}

static void uring_complete_handle(struct loop *loop, struct handle *handle, uint32_t operation, int result, uint32_t flags)
{
    if (handle->kind == HANDLE_WATCH)
        uring_watch_complete(loop, CONTAINER_OF(handle, struct watch, handle), operation, result);
    else if (operation == OPERATION_CANCEL)
        handle_operation_end(handle, OPERATION_CANCEL);
    else if (handle->kind == HANDLE_UDP)
        uring_udp_watched(loop, CONTAINER_OF(handle, struct udp, handle));
    else if (handle->kind == HANDLE_STREAM)
        uring_stream_complete(loop, CONTAINER_OF(handle, struct stream, handle), operation, result, flags);
    else
        uring_accepted(loop, CONTAINER_OF(handle, struct listener, handle), result, flags);
}

static void uring_complete(struct loop *loop, uint64_t user_data, int result, uint32_t flags)
{
    struct uring_state *state = loop->backend_state;
    uint32_t operation = (uint32_t)(user_data >> 56);
    if (operation == URING_OPERATION_WAKE) {
        state->wake_armed = false;
        LOOP_COUNT(loop, wakeups, 1);
        return;
    }
    struct handle *handle = slots_find(&loop->slots, (uint32_t)(user_data >> 32) & (SLOTS_MAX - 1), (uint32_t)user_data);
    if (handle != NULL)
        uring_complete_handle(loop, handle, operation, result, flags);
}

static void uring_dispatch(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    struct io_uring_cqe *cqe;
    unsigned head;
    /* Only what is there now: a handler may submit in between, and its completions belong to the next batch. */
    unsigned ready = io_uring_cq_ready(&state->ring);
    unsigned count = 0;
    io_uring_for_each_cqe(&state->ring, head, cqe)
    {
        if (count == ready)
            break;
        count++;
        uring_complete(loop, cqe->user_data, cqe->res, cqe->flags);
    }
    io_uring_cq_advance(&state->ring, count);
    uring_udp_receive(loop);
    uint32_t overflow = IO_URING_READ_ONCE(*state->ring.cq.koverflow);
    if (UNLIKELY(overflow != state->overflow)) {
        LOOP_COUNT(loop, completions_overflowed, overflow - state->overflow);
        state->overflow = overflow;
    }
}

static void uring_batch_end(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    uring_buffers_show(&state->stream_buffers);
}

/* The rest of the table */

/* A registered ring saves the look-up of its descriptor at every enter. It belongs to the thread: closing the loop on another one
 * would take that one's registration away. */
static void uring_run_begin(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    uring_enable(state);
    (void)io_uring_register_ring_fd(&state->ring);
}

static void uring_run_end(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    (void)io_uring_unregister_ring_fd(&state->ring);
}

static uint64_t uring_now_ns(struct loop *loop)
{
    (void)loop;
    return clock_monotonic_ns();
}

static uint64_t uring_wall_ms(struct loop *loop)
{
    (void)loop;
    return clock_wall_ms();
}

static void uring_wake(struct loop *loop)
{
    struct uring_state *state = loop->backend_state;
    uint64_t one = 1;
    ssize_t written = write(state->wake_fd, &one, sizeof(one));
    CHECK(written == (ssize_t)sizeof(one));
}

static int uring_listener_open(struct loop *loop, struct listener *listener)
{
    struct uring_state *state = loop->backend_state;
    if (state->reserve_fd < 0)
        state->reserve_fd = socket_reserve();
    return socket_open_listener(&listener->config, false, &listener->handle.fd, &listener->local);
}

static bool uring_listener_shed(struct loop *loop, struct listener *listener)
{
    struct uring_state *state = loop->backend_state;
    return socket_shed(listener->handle.fd, &state->reserve_fd);
}

static void uring_listener_arm(struct loop *loop, struct listener *listener)
{
    uring_queue(loop, &listener->handle, OPERATION_RECEIVE);
}

static int uring_watch_arm(struct loop *loop, struct watch *watch)
{
    struct stat status;
    if (fstat(watch->handle.fd, &status) < 0)
        return -errno;
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return -EPERM; /* as epoll says; always ready would be of no use */
    uring_queue(loop, &watch->handle, OPERATION_RECEIVE);
    return 0;
}

static void uring_watch_modify(struct loop *loop, struct watch *watch)
{
    uint32_t operations = watch->handle.operations;
    /* From inside its own function nothing is in flight: it is armed with the new events afterwards. */
    if ((operations & OPERATION_RECEIVE) != 0 && (operations & OPERATION_CANCEL) == 0)
        uring_queue(loop, &watch->handle, OPERATION_CANCEL);
}

/* Closing alone would neither cancel an operation nor send a FIN while one is in flight (liburing#932): shut down, cancel, wait for
 * the last completion, then release. */
static void uring_cancel(struct loop *loop, struct handle *handle)
{
    if (handle->backend_events != 0) {
        handle->operations &= ~handle->backend_events;
        handle->backend_events = 0;
        list_remove(&handle->backend_link);
    }
    if (handle->shut_down)
        (void)shutdown(handle->fd, SHUT_RDWR);
    if (handle->operations != 0 && (handle->operations & OPERATION_CANCEL) == 0)
        uring_queue(loop, handle, OPERATION_CANCEL);
}

static void uring_release(struct loop *loop, struct handle *handle)
{
    (void)loop;
    if (handle->kind == HANDLE_UDP)
        uring_udp_release(CONTAINER_OF(handle, struct udp, handle));
    if (handle->kind != HANDLE_WATCH && handle->fd >= 0)
        (void)close(handle->fd);
}

const struct loop_backend loop_backend_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .run_begin = uring_run_begin,
    .run_end = uring_run_end,
    .now_ns = uring_now_ns,
    .wall_ms = uring_wall_ms,
    .wait = uring_wait,
    .submit = uring_submit,
    .dispatch = uring_dispatch,
    .batch_end = uring_batch_end,
    .wake = uring_wake,
    .udp_open = uring_udp_open,
    .udp_flush = uring_udp_flush,
    .udp_tune = socket_tune_udp,
    .listener_open = uring_listener_open,
    .listener_shed = uring_listener_shed,
    .listener_arm = uring_listener_arm,
    .stream_connect = uring_stream_connect,
    .stream_attach = uring_stream_attach,
    .stream_receive = uring_stream_receive,
    .stream_send = uring_stream_send,
    .stream_shut = uring_stream_shut,
    .stream_leave = uring_stream_leave,
    .watch_arm = uring_watch_arm,
    .watch_modify = uring_watch_modify,
    .cancel = uring_cancel,
    .drop = socket_drop,
    .release = uring_release,
};
