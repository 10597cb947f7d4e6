/* Moving a connection from one loop to another: a handoff carries the descriptor and the bytes that are on neither side of it. */
#include <errno.h>
#include <stdlib.h>

#include "core/io/backend.h"

void stream_detach(struct stream *stream, stream_detached_function *on_detached, void *ctx)
{
    if (stream->state != STREAM_OPEN)
        return; /* it is ending already, on_closed follows */
    stream->handoff = calloc(1, sizeof(*stream->handoff));
    if (stream->handoff == NULL) {
        stream_fail(stream, -ENOMEM);
        return;
    }
    stream->on_detached = on_detached;
    stream->detached_ctx = ctx;
    stream->state = STREAM_DETACHING;
    handle_end(&stream->handle, false);
}

void stream_hand_over(struct stream *stream)
{
    struct loop *loop = stream->handle.loop;
    struct stream_handoff *handoff = stream->handoff;
    loop->backend->stream_leave(loop, stream);
    if (stream->sent == stream->sending.length) {
        stream->sending.length = 0;
        stream->sent = 0;
    }
    *handoff = (struct stream_handoff){
        .fd = stream->handle.fd,
        .backend = loop->backend,
        .backend_ctx = loop->config.backend_ctx,
        .peer = stream->peer,
        .local = stream->local,
        .limits = stream->limits,
        .unread = stream->carry,
        .sending = stream->sending,
        .sent = stream->sent,
        .filling = stream->filling,
    };
    stream->carry = (struct buffer){.bytes = NULL};
    stream->sending = (struct buffer){.bytes = NULL};
    stream->filling = (struct buffer){.bytes = NULL};
    stream->on_detached(stream->detached_ctx, handoff);
}

int stream_adopt(struct loop *loop, struct stream_handoff *handoff, const struct stream_handlers *handlers, void *ctx,
                 struct stream **ret_stream)
{
    struct stream *stream;
    int error = stream_new(loop, &stream);
    if (error < 0)
        return error;
    stream->handle.fd = handoff->fd;
    stream->peer = handoff->peer;
    stream->local = handoff->local;
    stream->limits = handoff->limits;
    error = loop->backend->stream_attach(loop, stream);
    if (error < 0) {
        handle_done(&stream->handle);
        free(stream);
        return error;
    }
    stream_open(stream);
    stream->handlers = handlers;
    stream->ctx = ctx;
    stream->carry = handoff->unread;
    stream->sending = handoff->sending;
    stream->sent = handoff->sent;
    stream->filling = handoff->filling;
    free(handoff);
    if (stream->sending.length > 0)
        loop->backend->stream_send(loop, stream);
    else if (stream->filling.length > 0)
        stream_mark_dirty(stream);
    stream->throttled = stream_pending_bytes(stream) >= stream->limits.high_bytes;
    if (stream->carry.length > 0) {
        stream->show = true;
        stream_mark_ready(stream);
    }
    stream_update_receiving(stream);
    *ret_stream = stream;
    return 0;
}

void stream_handoff_free(struct stream_handoff *handoff)
{
    if (handoff == NULL)
        return;
    handoff->backend->drop(handoff->backend_ctx, handoff->fd);
    buffer_done(&handoff->unread);
    buffer_done(&handoff->sending);
    buffer_done(&handoff->filling);
    free(handoff);
}
