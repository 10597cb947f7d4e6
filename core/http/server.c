#include "core/http/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/http/reader.h"
#include "core/io/list.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"

#define HTTP_REQUEST_NS (5 * NS_PER_S)
#define HTTP_IDLE_NS (30 * NS_PER_S)
#define HTTP_PENDING_BYTES_MAX (256u << 10)

/* Around a chunk: its length in hexadecimal digits before, and the last one behind it (RFC 9112, 7.1). */
#define HTTP_CHUNK_HEAD_BYTES 24u
#define HTTP_CHUNK_LAST "0\r\n\r\n"

struct http_connection {
    struct http_server *server;
    struct list_link link; /* in the server's connections */
    struct stream *stream;
    struct timer timer;
    struct http_reader reader;
    struct pieces_answer long_answer; /* while it is under way nothing else is taken */
    bool chunked; /* that one */
    bool keeps_alive; /* after that one */
    bool closing; /* what the peer still sends is of no interest */
};

struct http_server {
    struct http_config config;
    struct listener *listener;
    struct list_link connections;
    struct pieces_line pieces;
};

static void connection_free(struct http_connection *connection)
{
    timer_stop(&connection->timer);
    pieces_end(&connection->long_answer);
    list_remove(&connection->link);
    http_reader_done(&connection->reader);
    free(connection);
}

static void connection_close(struct http_connection *connection)
{
    connection->closing = true;
    timer_stop(&connection->timer);
    stream_close(connection->stream);
}

/* What waits to be sent is dropped: the peer sees that it has not got all. */
static void connection_abort(struct http_connection *connection)
{
    connection->closing = true;
    timer_stop(&connection->timer);
    pieces_end(&connection->long_answer);
    stream_abort(connection->stream);
}

/* length: the line that says how long the body is. */
static int head_print(const struct http_answer *answer, const char *length, bool keep_alive, struct buffer *bytes)
{
    return buffer_print(bytes, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s%s%s%s%s\r\n", answer->status,
                        http_status_text(answer->status), answer->content_type, length, answer->allow ? "Allow: " : "",
                        answer->allow ? answer->allow : "", answer->allow ? "\r\n" : "",
                        keep_alive ? "" : "Connection: close\r\n");
}

/* Sends an answer. A peer for which there is no memory left is cut off: it would wait for ever. */
static void connection_send(struct http_connection *connection, const struct http_answer *answer, bool keep_alive, bool with_body)
{
    struct buffer bytes = {0};
    char length[48];
    snprintf(length, sizeof(length), "Content-Length: %zu\r\n", answer->body.length);
    int error = head_print(answer, length, keep_alive, &bytes);
    if (error == 0 && with_body)
        error = buffer_append(&bytes, answer->body.bytes, answer->body.length);
    if (error == 0)
        error = stream_send(connection->stream, bytes.bytes, bytes.length);
    buffer_done(&bytes);
    if (error < 0 || !keep_alive)
        connection_close(connection);
}

static int chunk_send(struct stream *stream, const struct buffer *text, bool last)
{
    uint8_t *bytes;
    size_t room;
    size_t bytes_max = HTTP_CHUNK_HEAD_BYTES + text->length + sizeof("\r\n" HTTP_CHUNK_LAST);
    int error = stream_send_begin(stream, bytes_max, &bytes, &room);
    if (error < 0)
        return error;
    size_t length = 0;
    if (text->length > 0) {
        length = (size_t)snprintf((char *)bytes, HTTP_CHUNK_HEAD_BYTES, "%zx\r\n", text->length);
        memcpy(bytes + length, text->bytes, text->length);
        length += text->length;
        bytes[length++] = '\r';
        bytes[length++] = '\n';
    }
    if (last)
        length += (size_t)snprintf((char *)bytes + length, sizeof(HTTP_CHUNK_LAST), "%s", HTTP_CHUNK_LAST);
    stream_send_commit(stream, length);
    return 0;
}

/* The stream has room when a piece is made. Where that breaks off the peer must not take what it has got for the whole. */
static void connection_on_piece(void *ctx, const struct buffer *text, int result)
{
    struct http_connection *connection = ctx;
    struct loop *loop = connection->server->config.loop;
    bool last = result == 0;
    if (result >= 0)
        result = connection->chunked ? chunk_send(connection->stream, text, last)
                                     : stream_send(connection->stream, text->bytes, text->length);
    if (result < 0) {
        connection_abort(connection);
        return;
    }
    timer_start(loop, &connection->timer, loop_now_ns(loop) + HTTP_IDLE_NS);
    if (!last)
        return;
    if (connection->keeps_alive)
        stream_resume(connection->stream);
    else
        connection_close(connection);
}

/* The head now, the body by and by; nothing more is received before its end. */
static void connection_send_long(struct http_connection *connection, struct http_answer *answer, bool with_body)
{
    struct http_reader *reader = &connection->reader;
    struct buffer bytes = {0};
    connection->chunked = reader->parser.http_minor > 0;
    connection->keeps_alive = http_reader_keeps_alive(reader) && connection->chunked;
    const char *length = connection->chunked ? "Transfer-Encoding: chunked\r\n" : "";
    int error = head_print(answer, length, connection->keeps_alive, &bytes);
    if (error == 0)
        error = stream_send(connection->stream, bytes.bytes, bytes.length);
    buffer_done(&bytes);
    if (error < 0 || !with_body) {
        pieces_done(&answer->pieces);
        if (error < 0 || !connection->keeps_alive)
            connection_close(connection);
        return;
    }
    stream_pause(connection->stream);
    pieces_begin(&connection->long_answer, &answer->pieces);
    answer->pieces = (struct pieces){.next = NULL};
}

/* What the reader refuses never reaches the handler; where that speaks JSON, so does the refusal. */
static int refusal_print(const struct http_config *config, int status, struct buffer *body)
{
    if (config->body_bytes_max == 0)
        return buffer_print(body, "%d %s\n", status, http_status_text(status));
    if (status == 413)
        return buffer_print(body, "{\"error\":\"413 %s: a body has at most %u bytes\"}\n", http_status_text(status),
                            config->body_bytes_max);
    return buffer_print(body, "{\"error\":\"%d %s\"}\n", status, http_status_text(status));
}

static void connection_refuse(struct http_connection *connection, int status)
{
    const struct http_config *config = &connection->server->config;
    bool json = config->body_bytes_max > 0;
    struct http_answer answer = {.status = status, .content_type = json ? "application/json" : "text/plain; charset=utf-8"};
    if (status == 405)
        answer.allow = json ? "GET, HEAD, POST, PUT, DELETE" : "GET, HEAD";
    if (refusal_print(config, status, &answer.body) == 0)
        connection_send(connection, &answer, false, true);
    else
        connection_close(connection);
    buffer_done(&answer.body);
}

static enum http_verb reader_verb(const struct http_reader *reader)
{
    switch (reader->parser.method) {
    case HTTP_POST: return HTTP_VERB_POST;
    case HTTP_PUT: return HTTP_VERB_PUT;
    case HTTP_DELETE: return HTTP_VERB_DELETE;
    default: return HTTP_VERB_GET;
    }
}

static void connection_answer(struct http_connection *connection)
{
    struct http_reader *reader = &connection->reader;
    struct http_answer answer = {.status = 200, .content_type = "text/plain; charset=utf-8"};
    char *question = strchr(reader->target, '?');
    struct http_request request = {
        .verb = reader_verb(reader),
        .path = reader->target,
        .query = question ? question + 1 : "",
        .body = reader->body.bytes,
        .body_length = reader->body.length,
    };
    if (question)
        *question = '\0';
    int error = connection->server->config.on_request(connection->server->config.context, &request, &answer);
    if (error < 0)
        connection_refuse(connection, 500);
    else if (answer.pieces.next)
        connection_send_long(connection, &answer, !http_reader_is_head(reader));
    else
        connection_send(connection, &answer, http_reader_keeps_alive(reader), !http_reader_is_head(reader));
    pieces_done(&answer.pieces);
    buffer_done(&answer.body);
}

/* 5 s for the request in progress, counted from its first byte; else the idle limit. */
static void connection_set_timer(struct http_connection *connection, bool was_within)
{
    bool within = http_reader_is_within(&connection->reader);
    struct loop *loop = connection->server->config.loop;
    if (connection->closing || (within && was_within))
        return;
    timer_start(loop, &connection->timer, loop_now_ns(loop) + (within ? HTTP_REQUEST_NS : HTTP_IDLE_NS));
}

static size_t connection_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct http_connection *connection = ctx;
    bool within = http_reader_is_within(&connection->reader);
    size_t done = 0;
    /* A peer that pipelines and does not read gets no more answers until it does; its bytes wait in the stream. */
    while (done < length && !connection->closing && !pieces_are_under_way(&connection->long_answer) &&
           stream_pending_bytes(stream) < HTTP_PENDING_BYTES_MAX) {
        size_t taken;
        int result = http_reader_feed(&connection->reader, bytes + done, length - done, &taken);
        if (result > HTTP_READER_REQUEST) {
            connection_refuse(connection, result);
            break;
        }
        done += taken;
        if (result == HTTP_READER_REQUEST) {
            within = false;
            connection_answer(connection);
        }
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (http_reader_take_continue(&connection->reader) && stream_send(stream, go_on, sizeof(go_on) - 1) < 0)
        connection_close(connection);
    connection_set_timer(connection, within);
    return connection->closing ? length : done;
}

static void connection_on_drained(void *ctx, struct stream *stream)
{
    struct http_connection *connection = ctx;
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
    struct http_connection *connection = ctx;
    (void)timer;
    if (pieces_are_under_way(&connection->long_answer))
        connection_abort(connection);
    else if (http_reader_is_within(&connection->reader))
        connection_refuse(connection, 408);
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
    struct http_server *server = ctx;
    (void)listener;
    struct http_connection *connection = calloc(1, sizeof(*connection));
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
    http_reader_init(&connection->reader, server->config.body_bytes_max);
    timer_init(&connection->timer, connection_on_timer, connection);
    stream_set_handlers(stream, &connection_handlers, connection);
    connection_set_timer(connection, false);
}

int http_server_new(const struct http_config *config, struct http_server **ret_server)
{
    struct listener_config listening;
    struct http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->config = *config;
    list_init(&server->connections);
    pieces_line_init(&server->pieces, config->loop);
    listener_config_init(&listening);
    listening.address = config->address;
    listening.retry_bind = true;
    listening.connections_max = config->connections_max;
    /* Pipelined requests whose answers are not read yet. */
    listening.limits.carry_bytes_max = HTTP_HEAD_BYTES_MAX * 8 + config->body_bytes_max;
    listening.limits.high_bytes = HTTP_PENDING_BYTES_MAX;
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

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    listener_close(server->listener);
    while (!list_is_empty(&server->connections)) {
        struct http_connection *connection = CONTAINER_OF(server->connections.next, struct http_connection, link);
        stream_set_handlers(connection->stream, NULL, NULL);
        stream_abort(connection->stream);
        connection_free(connection);
    }
    pieces_line_done(&server->pieces);
    free(server);
}

struct address http_server_address(const struct http_server *server)
{
    return *listener_local_address(server->listener);
}
