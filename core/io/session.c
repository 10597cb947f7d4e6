#include "core/io/session.h"

#include <stdlib.h>

static void session_free(struct session *session)
{
    timer_stop(&session->timer);
    list_remove(&session->link);
    pieces_end(&session->long_answer);
    if (session->all->config.on_end)
        session->all->config.on_end(session);
    free(session);
}

void session_close(struct session *session)
{
    session->closing = true;
    timer_stop(&session->timer);
    stream_close(session->stream);
}

/* What waits to be sent is dropped: the peer sees that it has not got all. */
static void session_abort(struct session *session)
{
    session->closing = true;
    timer_stop(&session->timer);
    pieces_end(&session->long_answer);
    stream_abort(session->stream);
}

bool session_is_ready(const struct session *session)
{
    return !session->closing && !pieces_are_under_way(&session->long_answer) &&
           stream_pending_bytes(session->stream) < SESSION_PENDING_BYTES_MAX;
}

static void session_wait(struct session *session, uint64_t wait_ns)
{
    struct loop *loop = session->all->config.loop;
    timer_start(loop, &session->timer, loop_now_ns(loop) + wait_ns);
}

void session_watch(struct session *session, bool within)
{
    if (session->closing || (within && session->within))
        return;
    session->within = within;
    session_wait(session, within ? SESSION_REQUEST_NS : SESSION_IDLE_NS);
}

void session_answer_long(struct session *session, struct pieces *pieces)
{
    stream_pause(session->stream);
    pieces_begin(&session->long_answer, pieces);
    *pieces = (struct pieces){.next = NULL};
}

/* The stream has room when a piece is made. */
static void session_on_piece(void *ctx, const struct buffer *text, int result)
{
    struct session *session = ctx;
    bool last = result == 0;
    if (result >= 0)
        result = session->all->config.send_piece(session, text, last);
    if (result < 0) {
        session_abort(session);
        return;
    }
    session_wait(session, SESSION_IDLE_NS);
    if (last && session->ends)
        session_close(session);
    else if (last)
        stream_resume(session->stream);
}

static size_t session_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct session *session = ctx;
    (void)stream;
    size_t done = session->all->config.on_bytes(session, bytes, length);
    return session->closing ? length : done;
}

static void session_on_drained(void *ctx, struct stream *stream)
{
    struct session *session = ctx;
    (void)stream;
    pieces_on_drained(&session->long_answer);
}

static void session_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    (void)error;
    session_free(ctx);
}

static void session_on_timer(void *ctx, struct timer *timer)
{
    struct session *session = ctx;
    (void)timer;
    if (pieces_are_under_way(&session->long_answer))
        session_abort(session);
    else if (session->within)
        session->all->config.on_late(session);
    else
        session_close(session);
}

static const struct stream_handlers session_handlers = {
    .on_bytes = session_on_bytes,
    .on_drained = session_on_drained,
    .on_closed = session_on_closed,
};

/* Without memory the stream is left without handlers, and its listener closes it. */
static void sessions_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct sessions *sessions = ctx;
    (void)listener;
    struct session *session = calloc(1, sessions->config.session_bytes);
    if (!session)
        return;
    session->all = sessions;
    session->stream = stream;
    session->long_answer = (struct pieces_answer){
        .line = &sessions->pieces,
        .stream = stream,
        .on_piece = session_on_piece,
        .ctx = session,
    };
    list_init(&session->link);
    list_append(&sessions->list, &session->link);
    timer_init(&session->timer, session_on_timer, session);
    stream_set_handlers(stream, &session_handlers, session);
    session_watch(session, false);
    sessions->config.on_begin(session);
}

int sessions_open(struct sessions *sessions, const struct sessions_config *config, void *ctx)
{
    sessions->config = *config;
    sessions->ctx = ctx;
    list_init(&sessions->list);
    pieces_line_init(&sessions->pieces, config->loop);
    sessions->config.listening.limits.high_bytes = SESSION_PENDING_BYTES_MAX;
    sessions->config.listening.on_accept = sessions_on_accept;
    sessions->config.listening.ctx = sessions;
    return listener_open(config->loop, &sessions->config.listening, &sessions->listener);
}

void sessions_close(struct sessions *sessions)
{
    listener_close(sessions->listener);
    while (!list_is_empty(&sessions->list)) {
        struct session *session = CONTAINER_OF(sessions->list.next, struct session, link);
        stream_set_handlers(session->stream, NULL, NULL);
        stream_abort(session->stream);
        session_free(session);
    }
    pieces_line_done(&sessions->pieces);
}
