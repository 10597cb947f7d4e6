#include "core/io/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/backend.h"

/* What a stream keeps of its carry while it is quiet: the beginning of a frame fits, and thousands of idle streams cost little. */
#define STREAM_CARRY_KEEP_BYTES ((size_t)512)

void stream_limits_init(struct stream_limits *limits)
{
    *limits = (struct stream_limits){
        .carry_bytes_max = (1u << 20) + (64u << 10),
        .high_bytes = 256u << 10,
        .low_bytes = 64u << 10,
        .close_ms = 2000,
    };
}

void stream_config_init(struct stream_config *config)
{
    *config = (struct stream_config){.unix_path = NULL};
    stream_limits_init(&config->limits);
    config->limits.receives_always = true;
}

static void stream_carry_empty(struct buffer *carry)
{
    carry->length = 0;
    if (carry->capacity > STREAM_CARRY_KEEP_BYTES)
        buffer_done(carry);
}

/* Ending */

static void stream_end(struct stream *stream, int error)
{
    if (stream->state == STREAM_ENDING || stream->state == STREAM_DETACHING)
        return;
    stream->error = error;
    stream->state = STREAM_ENDING;
    timer_stop(&stream->close_timer);
    handle_end(&stream->handle, true);
}

void stream_fail(struct stream *stream, int error)
{
    stream_end(stream, error);
}

void stream_abort(struct stream *stream)
{
    stream_end(stream, 0);
}

/* All that stream_close promised to send is through, or nothing was to be sent. Closing with unread input would make the kernel
 * send a reset, which can destroy what we just sent before the peer reads it: so only our side is shut, and the peer's end
 * awaited, within the time limit. */
void stream_close_step(struct stream *stream)
{
    if (stream->state != STREAM_CLOSING || stream->shut || stream_pending_bytes(stream) > 0)
        return;
    if (stream->peer_ended) {
        stream_end(stream, stream->error);
        return;
    }
    stream->shut = true;
    stream->handle.loop->backend->stream_shut(stream->handle.loop, stream);
    stream_update_receiving(stream);
}

void stream_close(struct stream *stream)
{
    struct loop *loop = stream->handle.loop;
    if (stream->state == STREAM_CONNECTING) {
        stream_end(stream, 0);
        return;
    }
    if (stream->state != STREAM_OPEN)
        return;
    stream->state = STREAM_CLOSING;
    stream_update_receiving(stream);
    timer_start(loop, &stream->close_timer, loop->now_ns + stream->limits.close_ms * NS_PER_MS);
    stream_close_step(stream);
}

static void stream_on_close_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct stream *stream = ctx;
    stream_end(stream, stream->error);
}

/* Receiving */

/* The carry may hold anything while it can't be shown: receiving has stopped then, so it grows by what was under way at most. */
static bool stream_holds_back(const struct stream *stream)
{
    return stream->paused || (stream->throttled && !stream->limits.receives_always) || stream->state == STREAM_DETACHING;
}

void stream_update_receiving(struct stream *stream)
{
    /* What its owner left is shown first: were more received all the while, a peer that sends faster than its owner takes would grow
     * the carry without end. */
    bool behind = stream->show && stream->carry.length > 0;
    bool open = stream->state == STREAM_OPEN && !stream_holds_back(stream) && !behind;
    bool wanted = (open || (stream->state == STREAM_CLOSING && stream->shut)) && !stream->peer_ended;
    if (wanted == stream->receiving)
        return;
    stream->receiving = wanted;
    stream->handle.loop->backend->stream_receive(stream->handle.loop, stream, wanted);
}

static bool stream_keeps_carry(const struct stream *stream)
{
    return stream->state == STREAM_OPEN || stream->state == STREAM_DETACHING;
}

/* Shows bytes to the owner; returns how many it took. */
static size_t stream_show_bytes(struct stream *stream, const uint8_t *bytes, size_t length)
{
    if (stream->handlers == NULL)
        return length;
    size_t taken = stream->handlers->on_bytes(stream->ctx, stream, bytes, length);
    CHECK(taken <= length);
    return taken;
}

static void stream_keep(struct stream *stream, const uint8_t *bytes, size_t length)
{
    if (length == 0 || !stream_keeps_carry(stream))
        return;
    if (buffer_append(&stream->carry, bytes, length) < 0) {
        stream_end(stream, -ENOMEM);
        return;
    }
    if (!stream_holds_back(stream) && stream->carry.length > stream->limits.carry_bytes_max)
        stream_end(stream, USHER_ETOOLARGE);
}

static void stream_show_carry(struct stream *stream)
{
    size_t taken = stream_show_bytes(stream, stream->carry.bytes, stream->carry.length);
    buffer_consume(&stream->carry, taken);
    if (stream->carry.length == 0)
        stream_carry_empty(&stream->carry);
    else if (stream->state == STREAM_OPEN && !stream_holds_back(stream) && stream->carry.length > stream->limits.carry_bytes_max)
        stream_end(stream, USHER_ETOOLARGE);
}

void stream_touch(struct stream *stream)
{
    if (stream->listener == NULL)
        return;
    list_remove(&stream->listener_link);
    list_append(stream->busy ? &stream->listener->busy : &stream->listener->idle, &stream->listener_link);
    stream->touched_ns = stream->handle.loop->now_ns;
}

void stream_set_busy(struct stream *stream, bool busy)
{
    if (stream->busy == busy)
        return;
    stream->busy = busy;
    stream_touch(stream);
    if (!busy && stream->listener != NULL)
        listener_on_stream_idle(stream->listener);
}

void stream_event_received(struct stream *stream, uint8_t *bytes, size_t length)
{
    struct buffer *carry = &stream->carry;
    LOOP_COUNT(stream->handle.loop, stream_bytes_received, length);
    if (!stream_keeps_carry(stream))
        return;
    stream_touch(stream);
    if (!stream_holds_back(stream) && carry->length <= STREAM_HEADROOM_BYTES) {
        /* The beginning of a frame goes in front of the rest of it: all that came is parsed where it lies. */
        size_t kept = carry->length;
        if (kept > 0)
            memcpy(bytes - kept, carry->bytes, kept);
        stream_carry_empty(carry);
        size_t taken = stream_show_bytes(stream, bytes - kept, length + kept);
        stream_keep(stream, bytes - kept + taken, length + kept - taken);
        return;
    }
    if (buffer_append(carry, bytes, length) < 0)
        stream_end(stream, -ENOMEM);
    else if (!stream_holds_back(stream))
        stream_show_carry(stream);
}

/* The peer has ended, and everything it sent was shown. */
bool stream_has_ended(const struct stream *stream)
{
    return stream->peer_ended && stream->state == STREAM_OPEN && !stream->show && !stream_holds_back(stream);
}

/* We close too, but not before this batch's hook has answered what was shown last: stream_flush does it. */
static void stream_peer_end_step(struct stream *stream)
{
    if (!stream->peer_ended)
        return;
    if (stream_has_ended(stream))
        stream_mark_dirty(stream);
    stream_close_step(stream);
    if (stream->state == STREAM_CLOSING && stream->shut)
        stream_end(stream, stream->error);
}

void stream_event_end(struct stream *stream, int error)
{
    stream->receiving = false;
    stream->peer_ended = true;
    if (error < 0 && stream->state != STREAM_DETACHING)
        stream_end(stream, stream->state == STREAM_CLOSING && stream->shut ? 0 : error);
    else
        stream_peer_end_step(stream);
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    stream_update_receiving(stream);
}

void stream_mark_ready(struct stream *stream)
{
    if (list_is_empty(&stream->ready_link))
        list_append(&stream->handle.loop->ready, &stream->ready_link);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused)
        return;
    stream->paused = false;
    stream->show = true;
    stream_mark_ready(stream);
    stream_update_receiving(stream);
}

static void stream_run_ready(struct stream *stream)
{
    bool drained = stream->drained && stream->state == STREAM_OPEN;
    stream->drained = false;
    if (drained && stream->handlers != NULL && stream->handlers->on_drained != NULL)
        stream->handlers->on_drained(stream->ctx, stream);
    if (stream->state != STREAM_OPEN || stream_holds_back(stream))
        return; /* resume and drain set `show` anew */
    bool show = stream->show && stream->carry.length > 0;
    stream->show = false;
    if (show)
        stream_show_carry(stream);
    stream_update_receiving(stream);
    stream_peer_end_step(stream);
}

void streams_run_ready(struct loop *loop)
{
    struct list_link ready;
    list_take_all(&loop->ready, &ready);
    for (struct list_link *link; (link = list_take_first(&ready)) != NULL;)
        stream_run_ready(CONTAINER_OF(link, struct stream, ready_link));
}

/* Opening and finishing */

int stream_new(struct loop *loop, struct stream **ret_stream)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return -ENOMEM;
    int error = handle_init(&stream->handle, loop, HANDLE_STREAM);
    if (error < 0) {
        free(stream);
        return error;
    }
    list_init(&stream->ready_link);
    list_init(&stream->dirty_link);
    list_init(&stream->listener_link);
    timer_init(&stream->close_timer, stream_on_close_timer, stream);
    *ret_stream = stream;
    return 0;
}

/* The memory; its descriptor was closed or has left. */
static void stream_free(struct stream *stream)
{
    struct stream_pool *pool = &stream->handle.loop->stream_pool;
    timer_stop(&stream->close_timer);
    list_remove(&stream->ready_link);
    list_remove(&stream->dirty_link);
    list_remove(&stream->listener_link);
    if (stream->listener != NULL)
        listener_on_stream_gone(stream->listener, stream);
    handle_done(&stream->handle);
    buffer_done(&stream->carry);
    stream_pool_give(pool, &stream->sending);
    stream_pool_give(pool, &stream->filling);
    free(stream->connect_name);
    free(stream);
}

int stream_connect(struct loop *loop, const struct stream_config *config, struct stream **ret_stream)
{
    struct stream *stream;
    int error = stream_new(loop, &stream);
    if (error < 0)
        return error;
    stream->handlers = config->handlers;
    stream->ctx = config->ctx;
    stream->limits = config->limits;
    if (config->unix_path == NULL)
        stream->peer = config->address;
    error = loop->backend->stream_connect(loop, stream, config);
    if (error < 0) {
        stream_free(stream);
        return error;
    }
    *ret_stream = stream;
    return 0;
}

void stream_open(struct stream *stream)
{
    LOOP_COUNT(stream->handle.loop, streams_opened, 1);
    stream->opened = true;
    stream->state = STREAM_OPEN;
}

void stream_event_connected(struct stream *stream, int error)
{
    if (stream->state != STREAM_CONNECTING)
        return;
    if (error < 0) {
        stream_end(stream, error);
        return;
    }
    stream_open(stream);
    if (stream->filling.length > 0)
        stream_mark_dirty(stream);
    stream_update_receiving(stream);
    if (stream->handlers != NULL && stream->handlers->on_open != NULL)
        stream->handlers->on_open(stream->ctx, stream);
}

void stream_finish(struct stream *stream)
{
    struct loop *loop = stream->handle.loop;
    if (stream->opened)
        LOOP_COUNT(loop, streams_closed, 1);
    if (stream->state == STREAM_DETACHING && !loop->freeing) {
        stream_hand_over(stream);
        stream_free(stream);
        return;
    }
    loop->backend->release(loop, &stream->handle);
    if (stream->state == STREAM_DETACHING)
        stream->error = USHER_ECANCELLED;
    free(stream->handoff);
    if (stream->handlers != NULL && stream->handlers->on_closed != NULL)
        stream->handlers->on_closed(stream->ctx, stream, stream->error);
    stream_free(stream);
}

/* What it is */

void stream_set_handlers(struct stream *stream, const struct stream_handlers *handlers, void *ctx)
{
    stream->handlers = handlers;
    stream->ctx = ctx;
}

void stream_set_limits(struct stream *stream, const struct stream_limits *limits)
{
    stream->limits = *limits;
}

void *stream_ctx(const struct stream *stream)
{
    return stream->ctx;
}

const struct address *stream_peer(const struct stream *stream)
{
    return &stream->peer;
}

int stream_peer_uid(const struct stream *stream, uid_t *ret_uid)
{
    struct ucred credentials;
    socklen_t bytes = sizeof(credentials);
    if (stream->local.family != ADDRESS_NONE)
        return -EOPNOTSUPP;
    if (getsockopt(stream->handle.fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) < 0)
        return -errno;
    *ret_uid = credentials.uid;
    return 0;
}
