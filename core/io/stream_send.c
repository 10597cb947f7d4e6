/* Sending: one buffer fills while the other one is under way, and a peer that does not read stops what comes from it. */
#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/backend.h"

static bool stream_sends(const struct stream *stream)
{
    return stream->state == STREAM_OPEN || stream->state == STREAM_CLOSING;
}

static bool stream_is_sending(const struct stream *stream)
{
    return stream->sending.length > 0;
}

size_t stream_pending_bytes(const struct stream *stream)
{
    return stream->sending.length - stream->sent + stream->filling.length;
}

bool stream_is_full(const struct stream *stream)
{
    return stream->throttled;
}

void stream_mark_dirty(struct stream *stream)
{
    if (list_is_empty(&stream->dirty_link))
        list_append(&stream->handle.loop->stream_dirty, &stream->dirty_link);
}

/* True: as much waits as may. Whoever sends to a peer that doesn't read shall not get more work from it either. */
static bool stream_throttle(struct stream *stream)
{
    if (stream_pending_bytes(stream) < stream->limits.high_bytes)
        return false;
    if (!stream->throttled) {
        stream->throttled = true;
        stream_update_receiving(stream);
    }
    return true;
}

int stream_send_begin(struct stream *stream, size_t bytes_min, uint8_t **ret_bytes, size_t *ret_room)
{
    struct buffer *filling = &stream->filling;
    if (UNLIKELY(stream->state != STREAM_OPEN && stream->state != STREAM_CONNECTING))
        return -EPIPE;
    if (UNLIKELY(stream_throttle(stream)))
        return -ENOBUFS;
    int error = stream_pool_reserve(&stream->handle.loop->stream_pool, filling, bytes_min);
    if (UNLIKELY(error < 0))
        return error;
    *ret_bytes = filling->bytes + filling->length;
    *ret_room = filling->capacity - filling->length;
    return 0;
}

void stream_send_commit(struct stream *stream, size_t length)
{
    struct buffer *filling = &stream->filling;
    filling->length += length;
    DEBUG_CHECK(filling->length <= filling->capacity);
    if (UNLIKELY(filling->length == 0)) {
        stream_pool_give(&stream->handle.loop->stream_pool, filling);
        return;
    }
    (void)stream_throttle(stream);
    if (stream->state == STREAM_OPEN && !stream_is_sending(stream))
        stream_mark_dirty(stream);
}

int stream_send(struct stream *stream, const void *bytes, size_t length)
{
    uint8_t *room;
    size_t room_bytes;
    int error = stream_send_begin(stream, length, &room, &room_bytes);
    if (error < 0)
        return error;
    if (length > 0)
        memcpy(room, bytes, length);
    stream_send_commit(stream, length);
    return 0;
}

static void stream_flush(struct stream *stream)
{
    if (stream_has_ended(stream))
        stream_close(stream);
    if (!stream_sends(stream) || stream_is_sending(stream) || stream->filling.length == 0)
        return;
    struct buffer swap = stream->sending;
    stream->sending = stream->filling;
    stream->filling = swap;
    stream->sent = 0;
    stream->handle.loop->backend->stream_send(stream->handle.loop, stream);
}

void streams_flush(struct loop *loop)
{
    struct list_link dirty;
    list_take_all(&loop->stream_dirty, &dirty);
    for (struct list_link *link; (link = list_take_first(&dirty)) != NULL;)
        stream_flush(CONTAINER_OF(link, struct stream, dirty_link));
}

static void stream_unthrottle(struct stream *stream)
{
    if (!stream->throttled || stream_pending_bytes(stream) >= stream->limits.low_bytes)
        return;
    stream->throttled = false;
    stream->drained = true;
    stream->show = true;
    stream_mark_ready(stream);
    stream_update_receiving(stream);
}

void stream_event_sent(struct stream *stream, int error)
{
    if (!stream_sends(stream))
        return; /* ending; a detaching one hands over what was not sent */
    if (error < 0) {
        stream_fail(stream, stream->peer_ended ? stream->error : error);
        return;
    }
    LOOP_COUNT(stream->handle.loop, stream_bytes_sent, stream->sending.length);
    stream->sent = 0;
    stream_pool_give(&stream->handle.loop->stream_pool, &stream->sending);
    stream_touch(stream);
    if (stream->filling.length > 0)
        stream_mark_dirty(stream);
    stream_unthrottle(stream);
    stream_close_step(stream);
}
