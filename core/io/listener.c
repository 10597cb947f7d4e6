#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/backend.h"
#include "core/io/socket.h"

/* How long a listener rests after an accept that failed for want of descriptors or memory (promised: ≤ 100 ms). */
#define LISTENER_REARM_MS UINT64_C(50)

/* And when an idle connection was closed for it: about as long as that takes. */
#define LISTENER_REARM_EVICTED_MS UINT64_C(1)

/* Connections that idle_ms ends at a time: ten thousand of them shall not hold up the others. */
#define LISTENER_EXPIRED_PER_BATCH 64u

/* How many of the longest idle connections are looked at to find one that is not in the middle of a frame. */
#define LISTENER_EVICT_LOOKS 16u

void listener_config_init(struct listener_config *config)
{
    *config = (struct listener_config){.unix_mode = 0660, .backlog = 1024};
    stream_limits_init(&config->limits);
}

static void listener_on_rearm_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct listener *listener = ctx;
    listener->handle.loop->backend->listener_arm(listener->handle.loop, listener);
}

/* The oldest come first in the list, so that those that are in use cost nothing here. What is in the middle of something for so long
 * goes as well. */
static void listener_on_idle_timer(void *ctx, struct timer *timer)
{
    struct listener *listener = ctx;
    struct loop *loop = listener->handle.loop;
    uint64_t idle_ns = listener->config.idle_ms * NS_PER_MS;
    uint32_t ended = 0;
    struct list_link *link = listener->idle.next;
    for (; link != &listener->idle; link = link->next) {
        struct stream *stream = CONTAINER_OF(link, struct stream, listener_link);
        if (stream->state == STREAM_ENDING)
            continue; /* leaves the list at the end of the batch */
        if (stream->touched_ns + idle_ns > loop->now_ns || ended == LISTENER_EXPIRED_PER_BATCH)
            break;
        LOOP_COUNT(loop, streams_expired, 1);
        stream_fail(stream, USHER_ECANCELLED);
        ended++;
    }
    if (link != &listener->idle)
        timer_start(loop, timer, CONTAINER_OF(link, struct stream, listener_link)->touched_ns + idle_ns);
}

int listener_open(struct loop *loop, const struct listener_config *config, struct listener **ret_listener)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return -ENOMEM;
    int error = handle_init(&listener->handle, loop, HANDLE_LISTENER);
    if (error < 0) {
        free(listener);
        return error;
    }
    listener->on_accept = config->on_accept;
    listener->ctx = config->ctx;
    listener->config = *config;
    list_init(&listener->idle);
    list_init(&listener->busy);
    peers_init(&listener->peers);
    timer_init(&listener->idle_timer, listener_on_idle_timer, listener);
    timer_init(&listener->rearm_timer, listener_on_rearm_timer, listener);
    if (config->unix_path != NULL) {
        listener->unix_path = strdup(config->unix_path);
        error = listener->unix_path != NULL ? 0 : -ENOMEM;
    }
    if (error == 0)
        error = loop->backend->listener_open(loop, listener);
    if (error < 0) {
        handle_done(&listener->handle);
        free(listener->unix_path);
        free(listener);
        return error;
    }
    listener->config.unix_path = listener->unix_path;
    listener->reserve_fd = config->keeps_reserve ? socket_reserve() : -1;
    loop->backend->listener_arm(loop, listener);
    *ret_listener = listener;
    return 0;
}

static void listener_forget(struct list_link *streams)
{
    for (struct list_link *link; (link = list_take_first(streams)) != NULL;) {
        struct stream *stream = CONTAINER_OF(link, struct stream, listener_link);
        stream->listener = NULL;
        stream->address_count = NULL;
    }
}

void listener_close(struct listener *listener)
{
    if (listener->handle.ending)
        return;
    timer_stop(&listener->rearm_timer);
    timer_stop(&listener->idle_timer);
    listener_forget(&listener->idle);
    listener_forget(&listener->busy);
    if (listener->unix_path != NULL)
        (void)unlink(listener->unix_path);
    handle_end(&listener->handle, false);
}

void listener_finish(struct listener *listener)
{
    struct loop *loop = listener->handle.loop;
    loop->backend->release(loop, &listener->handle);
    if (listener->reserve_fd >= 0)
        (void)close(listener->reserve_fd);
    peers_done(&listener->peers);
    handle_done(&listener->handle);
    free(listener->unix_path);
    free(listener);
}

const struct address *listener_local_address(const struct listener *listener)
{
    return &listener->local;
}

/* Closes the connection that has been quiet for longest and has nothing in progress. False: none of the oldest is like that. */
static bool listener_evict(struct listener *listener)
{
    struct list_link *link = listener->idle.next;
    for (uint32_t looks = 0; looks < LISTENER_EVICT_LOOKS && link != &listener->idle; looks++, link = link->next) {
        struct stream *stream = CONTAINER_OF(link, struct stream, listener_link);
        if (stream->state != STREAM_OPEN || stream->carry.length > 0 || stream_pending_bytes(stream) > 0)
            continue;
        LOOP_COUNT(listener->handle.loop, streams_evicted, 1);
        stream_fail(stream, USHER_ECANCELLED);
        return true;
    }
    return false;
}

static bool listener_has_room(struct listener *listener)
{
    uint32_t limit = listener->config.connections_max;
    return limit == 0 || listener->stream_count < limit || listener_evict(listener);
}

/* From here on its address counts it. */
static int listener_attach(struct listener *listener, struct stream *stream)
{
    struct loop *loop = listener->handle.loop;
    int error = loop->backend->stream_attach(loop, stream);
    if (error < 0) {
        LOOP_COUNT(loop, accept_errors, 1);
        return error;
    }
    if (listener->config.per_address_max == 0)
        return 0;
    error = peers_add(&listener->peers, &stream->peer, listener->config.per_address_max, &stream->address_count);
    if (error < 0)
        LOOP_COUNT(loop, accepts_refused, 1);
    return error;
}

static int listener_take(struct listener *listener, int fd, struct stream **ret_stream)
{
    struct loop *loop = listener->handle.loop;
    if (!listener_has_room(listener)) {
        LOOP_COUNT(loop, accepts_refused, 1);
        return -EMFILE;
    }
    struct stream *stream;
    int error = stream_new(loop, &stream);
    if (error < 0) {
        LOOP_COUNT(loop, accept_errors, 1);
        return error;
    }
    stream->handle.fd = fd;
    error = listener_attach(listener, stream);
    if (error < 0) {
        handle_done(&stream->handle);
        free(stream);
        return error;
    }
    *ret_stream = stream;
    return 0;
}

void listener_event_accept(struct listener *listener, int fd)
{
    struct loop *loop = listener->handle.loop;
    struct stream *stream;
    if (listener->handle.ending || listener_take(listener, fd, &stream) < 0) {
        loop->backend->drop(loop->config.backend_ctx, fd);
        return;
    }
    LOOP_COUNT(loop, accepts, 1);
    stream_open(stream);
    stream->limits = listener->config.limits;
    stream->listener = listener;
    listener->stream_count++;
    stream_touch(stream);
    listener_on_stream_idle(listener);
    listener->on_accept(listener->ctx, listener, stream);
    if (stream->handlers == NULL)
        stream_abort(stream);
    stream_update_receiving(stream);
}

void listener_on_stream_idle(struct listener *listener)
{
    struct loop *loop = listener->handle.loop;
    if (listener->config.idle_ms != 0 && !timer_is_running(&listener->idle_timer))
        timer_start(loop, &listener->idle_timer, loop->now_ns + listener->config.idle_ms * NS_PER_MS);
}

/* At once, before somebody else has the descriptor that the connection had. */
void listener_on_stream_gone(struct listener *listener, struct stream *stream)
{
    listener->stream_count--;
    peers_remove(&listener->peers, stream->address_count);
    if (listener->config.keeps_reserve && listener->reserve_fd < 0)
        listener->reserve_fd = socket_reserve();
}

/* The descriptors have run out. Returns how long to rest. */
static uint64_t listener_make_room(struct listener *listener)
{
    struct loop *loop = listener->handle.loop;
    int fd = socket_accept_on_reserve(listener->handle.fd, &listener->reserve_fd);
    if (fd >= 0)
        listener_event_accept(listener, fd);
    else if (listener_evict(listener))
        return LISTENER_REARM_EVICTED_MS;
    else if (!listener->config.keeps_reserve && loop->backend->listener_shed(loop, listener))
        LOOP_COUNT(loop, accepts_refused, 1);
    return LISTENER_REARM_MS;
}

void listener_event_error(struct listener *listener, int error)
{
    struct loop *loop = listener->handle.loop;
    if (listener->handle.ending)
        return;
    LOOP_COUNT(loop, accept_errors, 1);
    if (error == -ECONNABORTED || error == -EINTR || error == -EPROTO) {
        timer_start(loop, &listener->rearm_timer, 0);
        return;
    }
    uint64_t rest_ms = LISTENER_REARM_MS;
    if (error == -EMFILE || error == -ENFILE)
        rest_ms = listener_make_room(listener);
    if (listener->handle.ending) /* on_accept has closed it */
        return;
    timer_start(loop, &listener->rearm_timer, loop->now_ns + rest_ms * NS_PER_MS);
}
