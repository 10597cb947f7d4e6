/* The admin socket's connections: bytes to lines, lines to admin_execute. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/daemon/admin.h"
#include "core/io/list.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"

#define ADMIN_LINE_NS (5 * NS_PER_S)
#define ADMIN_IDLE_NS (30 * NS_PER_S)
#define ADMIN_PENDING_BYTES_MAX (256u << 10)

struct admin_connection {
    struct admin_server *server;
    struct list_link link; /* in the server's connections */
    struct stream *stream;
    struct timer timer;
    struct admin_later *later; /* the answer to the last line; NULL: it was given, or comes in pieces */
    struct pieces_answer long_answer;
    bool within; /* a line has begun */
    bool closing;
};

struct admin_server {
    struct admin_config config;
    struct listener *listener;
    struct list_link connections;
    struct pieces_line pieces;
};

static void connection_free(struct admin_connection *connection)
{
    timer_stop(&connection->timer);
    list_remove(&connection->link);
    if (connection->later)
        admin_later_abandon(connection->later);
    pieces_end(&connection->long_answer);
    free(connection);
}

static void connection_close(struct admin_connection *connection)
{
    connection->closing = true;
    timer_stop(&connection->timer);
    stream_close(connection->stream);
}

static void connection_send(struct admin_connection *connection, const struct buffer *answer)
{
    if (stream_send(connection->stream, answer->bytes, answer->length) < 0)
        connection_close(connection);
}

static void connection_on_answer(void *ctx, const struct buffer *answer)
{
    struct admin_connection *connection = ctx;
    connection->later = NULL;
    if (answer)
        connection_send(connection, answer);
    else
        connection_close(connection);
    if (!connection->closing)
        stream_resume(connection->stream);
}

/* A peer that got only a part of an answer shall not take that for the whole. */
static void connection_abort(struct admin_connection *connection)
{
    connection->closing = true;
    timer_stop(&connection->timer);
    pieces_end(&connection->long_answer);
    stream_abort(connection->stream);
}

static void connection_on_piece(void *ctx, const struct buffer *text, int result)
{
    struct admin_connection *connection = ctx;
    struct loop *loop = connection->server->config.loop;
    bool last = result == 0;
    if (result >= 0)
        result = stream_send(connection->stream, text->bytes, text->length);
    if (result < 0) {
        connection_abort(connection);
        return;
    }
    timer_start(loop, &connection->timer, loop_now_ns(loop) + ADMIN_IDLE_NS);
    if (last)
        stream_resume(connection->stream);
}

static void connection_answer(struct admin_connection *connection, const char *line, size_t length)
{
    struct buffer answer = {0};
    struct admin_rest rest = {.later = NULL};
    const struct admin_config *config = &connection->server->config;
    int error = admin_execute_or_wait(config->tables, config->table_count, line, length, &answer, connection_on_answer,
                                      connection, &rest);
    connection->later = rest.later;
    if (error > 0)
        stream_pause(connection->stream); /* answers come in the order of the lines */
    if (error == ADMIN_PIECES)
        pieces_begin(&connection->long_answer, &rest.pieces);
    else if (error == 0)
        connection_send(connection, &answer);
    else if (error < 0)
        connection_close(connection);
    buffer_done(&answer);
}

/* One last line for a peer that is not served. */
static void connection_refuse(struct admin_connection *connection, const char *error, const char *text)
{
    struct buffer answer = {0};
    if (buffer_print(&answer, "{\"ok\":false,\"error\":\"%s\",\"text\":\"%s\",\"exit\":%d}\n", error, text, EXIT_CODE_FAILED) ==
        0)
        connection_send(connection, &answer);
    if (!connection->closing)
        connection_close(connection);
    buffer_done(&answer);
}

static void connection_set_timer(struct admin_connection *connection, bool within)
{
    struct loop *loop = connection->server->config.loop;
    if (connection->closing || (within && connection->within))
        return;
    connection->within = within;
    timer_start(loop, &connection->timer, loop_now_ns(loop) + (within ? ADMIN_LINE_NS : ADMIN_IDLE_NS));
}

static size_t connection_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct admin_connection *connection = ctx;
    size_t done = 0;
    while (!connection->closing && !connection->later && !pieces_are_under_way(&connection->long_answer) &&
           stream_pending_bytes(stream) < ADMIN_PENDING_BYTES_MAX) {
        const uint8_t *end = memchr(bytes + done, '\n', length - done);
        if (!end) {
            if (length - done > ADMIN_LINE_BYTES_MAX)
                connection_refuse(connection, "E2BIG", "the line is too long; send a shorter one");
            break;
        }
        size_t line_length = (size_t)(end - (bytes + done));
        connection_answer(connection, (const char *)bytes + done, line_length);
        done += line_length + 1;
        connection->within = false;
    }
    connection_set_timer(connection, done < length);
    return connection->closing ? length : done;
}

static void connection_on_drained(void *ctx, struct stream *stream)
{
    struct admin_connection *connection = ctx;
    (void)stream;
    pieces_on_drained(&connection->long_answer);
}

static void connection_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    (void)error;
    connection_free(ctx);
}

static void connection_on_timer(void *ctx, struct timer *timer)
{
    struct admin_connection *connection = ctx;
    (void)timer;
    if (pieces_are_under_way(&connection->long_answer))
        connection_abort(connection);
    else if (connection->within)
        connection_refuse(connection, "ETIMEDOUT", "no whole line came within 5 s");
    else
        connection_close(connection);
}

static const struct stream_handlers connection_handlers = {
    .on_bytes = connection_on_bytes,
    .on_drained = connection_on_drained,
    .on_closed = connection_on_closed,
};

/* Without memory the stream is left without handlers, and its listener closes it. */
static void server_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct admin_server *server = ctx;
    uid_t uid;
    (void)listener;
    struct admin_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return;
    connection->server = server;
    connection->stream = stream;
    connection->long_answer = (struct pieces_answer){
        .line = &server->pieces,
        .stream = stream,
        .on_piece = connection_on_piece,
        .ctx = connection,
    };
    list_init(&connection->link);
    list_append(&server->connections, &connection->link);
    timer_init(&connection->timer, connection_on_timer, connection);
    stream_set_handlers(stream, &connection_handlers, connection);
    connection_set_timer(connection, false);
    if (stream_peer_uid(stream, &uid) < 0 || (uid != 0 && uid != geteuid()))
        connection_refuse(connection, "EACCES", "only root and the daemon's own user are served; use sudo");
}

int admin_server_new(const struct admin_config *config, struct admin_server **ret_server)
{
    struct listener_config listening;
    struct admin_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->config = *config;
    list_init(&server->connections);
    pieces_line_init(&server->pieces, config->loop);
    listener_config_init(&listening);
    listening.unix_path = config->path;
    listening.unix_mode = 0660;
    listening.retry_bind = true;
    listening.keeps_reserve = true; /* whoever has to look into it must get in when the descriptors have run out */
    listening.connections_max = ADMIN_CONNECTIONS_MAX;
    listening.limits.carry_bytes_max = ADMIN_LINE_BYTES_MAX * 16; /* further lines, while a client does not read its answers */
    listening.limits.high_bytes = ADMIN_PENDING_BYTES_MAX;
    listening.on_accept = server_on_accept;
    listening.ctx = server;
    int error = listener_open(config->loop, &listening, &server->listener);
    if (error < 0) {
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

void admin_server_free(struct admin_server *server)
{
    if (!server)
        return;
    listener_close(server->listener);
    while (!list_is_empty(&server->connections)) {
        struct admin_connection *connection = CONTAINER_OF(server->connections.next, struct admin_connection, link);
        stream_set_handlers(connection->stream, NULL, NULL);
        stream_abort(connection->stream);
        connection_free(connection);
    }
    pieces_line_done(&server->pieces);
    free(server);
}
