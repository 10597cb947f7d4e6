#include "core/http/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/http/reader.h"
#include "core/io/session.h"

/* Around a chunk: its length in hexadecimal digits before, and the last one behind it (RFC 9112, 7.1). */
#define HTTP_CHUNK_HEAD_BYTES 24u
#define HTTP_CHUNK_LAST "0\r\n\r\n"

struct http_connection {
    struct session session;
    struct http_reader reader;
    bool chunked; /* the long answer */
};

struct http_server {
    struct http_config config;
    struct sessions sessions;
};

static struct http_connection *connection_of(struct session *session)
{
    return CONTAINER_OF(session, struct http_connection, session);
}

static const struct http_config *config_of(const struct http_connection *connection)
{
    const struct http_server *server = connection->session.all->ctx;
    return &server->config;
}

/* length: the line that says how long the body is. */
static int head_print(const struct http_answer *answer, const char *length, bool keep_alive, struct buffer *bytes)
{
    char retry[48] = "";
    if (answer->retry_after_s > 0)
        snprintf(retry, sizeof(retry), "Retry-After: %" PRIu32 "\r\n", answer->retry_after_s);
    return buffer_print(bytes, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s%s%s%s%s%s\r\n", answer->status,
                        http_status_text(answer->status), answer->content_type, length, answer->allow ? "Allow: " : "",
                        answer->allow ? answer->allow : "", answer->allow ? "\r\n" : "", retry,
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
        error = stream_send(connection->session.stream, bytes.bytes, bytes.length);
    buffer_done(&bytes);
    if (error < 0 || !keep_alive)
        session_close(&connection->session);
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

static int connection_send_piece(struct session *session, const struct buffer *text, bool last)
{
    return connection_of(session)->chunked ? chunk_send(session->stream, text, last)
                                           : stream_send(session->stream, text->bytes, text->length);
}

/* The head now, the body by and by; nothing more is received before its end. */
static void connection_send_long(struct http_connection *connection, struct http_answer *answer, bool with_body)
{
    struct http_reader *reader = &connection->reader;
    struct buffer bytes = {0};
    connection->chunked = reader->parser.http_minor > 0;
    bool keeps_alive = http_reader_keeps_alive(reader) && connection->chunked;
    const char *length = connection->chunked ? "Transfer-Encoding: chunked\r\n" : "";
    int error = head_print(answer, length, keeps_alive, &bytes);
    if (error == 0)
        error = stream_send(connection->session.stream, bytes.bytes, bytes.length);
    buffer_done(&bytes);
    if (error < 0 || !with_body) {
        pieces_done(&answer->pieces);
        if (error < 0 || !keeps_alive)
            session_close(&connection->session);
        return;
    }
    connection->session.ends = !keeps_alive;
    session_answer_long(&connection->session, &answer->pieces);
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
    const struct http_config *config = config_of(connection);
    bool json = config->body_bytes_max > 0;
    struct http_answer answer = {.status = status, .content_type = json ? "application/json" : "text/plain; charset=utf-8"};
    if (status == 405)
        answer.allow = json ? "GET, HEAD, POST, PUT, DELETE" : "GET, HEAD";
    if (refusal_print(config, status, &answer.body) == 0)
        connection_send(connection, &answer, false, true);
    else
        session_close(&connection->session);
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
    int error = config_of(connection)->on_request(config_of(connection)->context, &request, &answer);
    if (error < 0)
        connection_refuse(connection, 500);
    else if (answer.pieces.next)
        connection_send_long(connection, &answer, !http_reader_is_head(reader));
    else
        connection_send(connection, &answer, http_reader_keeps_alive(reader), !http_reader_is_head(reader));
    pieces_done(&answer.pieces);
    buffer_done(&answer.body);
}

static size_t connection_on_bytes(struct session *session, const uint8_t *bytes, size_t length)
{
    struct http_connection *connection = connection_of(session);
    size_t done = 0;
    /* A peer that pipelines and does not read gets no more answers until it does; its bytes wait in the stream. */
    while (done < length && session_is_ready(session)) {
        size_t taken;
        int result = http_reader_feed(&connection->reader, bytes + done, length - done, &taken);
        if (result > HTTP_READER_REQUEST) {
            connection_refuse(connection, result);
            break;
        }
        done += taken;
        if (result == HTTP_READER_REQUEST) {
            session->within = false;
            connection_answer(connection);
        }
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (http_reader_take_continue(&connection->reader) && stream_send(session->stream, go_on, sizeof(go_on) - 1) < 0)
        session_close(session);
    session_watch(session, http_reader_is_within(&connection->reader));
    return done;
}

static void connection_on_late(struct session *session)
{
    connection_refuse(connection_of(session), 408);
}

static void connection_on_begin(struct session *session)
{
    http_reader_init(&connection_of(session)->reader, config_of(connection_of(session))->body_bytes_max);
}

static void connection_on_end(struct session *session)
{
    http_reader_done(&connection_of(session)->reader);
}

int http_server_new(const struct http_config *config, struct http_server **ret_server)
{
    struct sessions_config sessions = {
        .loop = config->loop,
        .session_bytes = sizeof(struct http_connection),
        .on_begin = connection_on_begin,
        .on_bytes = connection_on_bytes,
        .send_piece = connection_send_piece,
        .on_late = connection_on_late,
        .on_end = connection_on_end,
    };
    struct http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->config = *config;
    listener_config_init(&sessions.listening);
    sessions.listening.address = config->address;
    sessions.listening.retry_bind = true;
    sessions.listening.connections_max = config->connections_max;
    /* Pipelined requests whose answers are not read yet. */
    sessions.listening.limits.carry_bytes_max = HTTP_HEAD_BYTES_MAX * 8 + config->body_bytes_max;
    int error = sessions_open(&server->sessions, &sessions, server);
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
    sessions_close(&server->sessions);
    free(server);
}

struct address http_server_address(const struct http_server *server)
{
    return *listener_local_address(server->sessions.listener);
}
