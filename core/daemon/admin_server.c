/* The admin socket's connections: bytes to lines, lines to admin_execute. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/daemon/admin.h"
#include "core/io/session.h"

struct admin_connection {
    struct session session;
    struct admin_later *later; /* the answer to the last line; NULL: it was given, or comes in pieces */
};

struct admin_server {
    struct admin_config config;
    struct sessions sessions;
};

static struct admin_connection *connection_of(struct session *session)
{
    return CONTAINER_OF(session, struct admin_connection, session);
}

static void connection_send(struct admin_connection *connection, const struct buffer *answer)
{
    if (stream_send(connection->session.stream, answer->bytes, answer->length) < 0)
        session_close(&connection->session);
}

static void connection_on_answer(void *ctx, const struct buffer *answer)
{
    struct admin_connection *connection = ctx;
    connection->later = NULL;
    if (answer)
        connection_send(connection, answer);
    else
        session_close(&connection->session);
    if (!connection->session.closing)
        stream_resume(connection->session.stream);
}

static int connection_send_piece(struct session *session, const struct buffer *text, bool last)
{
    (void)last;
    return stream_send(session->stream, text->bytes, text->length);
}

static void connection_answer(struct admin_connection *connection, const char *line, size_t length)
{
    struct buffer answer = {0};
    struct admin_rest rest = {.later = NULL};
    const struct admin_server *server = connection->session.all->ctx;
    int error = admin_execute_or_wait(server->config.tables, server->config.table_count, line, length, &answer,
                                      connection_on_answer, connection, &rest);
    connection->later = rest.later;
    if (error > 0)
        stream_pause(connection->session.stream); /* answers come in the order of the lines */
    if (error == ADMIN_PIECES)
        session_answer_long(&connection->session, &rest.pieces);
    else if (error == 0)
        connection_send(connection, &answer);
    else if (error < 0)
        session_close(&connection->session);
    buffer_done(&answer);
}

/* One last line for a peer that is not served. */
static void connection_refuse(struct admin_connection *connection, const char *error, const char *text)
{
    struct buffer answer = {0};
    if (buffer_print(&answer, "{\"ok\":false,\"error\":\"%s\",\"text\":\"%s\",\"exit\":%d}\n", error, text, EXIT_CODE_FAILED) ==
        0)
        connection_send(connection, &answer);
    if (!connection->session.closing)
        session_close(&connection->session);
    buffer_done(&answer);
}

static size_t connection_on_bytes(struct session *session, const uint8_t *bytes, size_t length)
{
    struct admin_connection *connection = connection_of(session);
    size_t done = 0;
    while (session_is_ready(session) && !connection->later) {
        const uint8_t *end = memchr(bytes + done, '\n', length - done);
        if (!end) {
            if (length - done > ADMIN_LINE_BYTES_MAX)
                connection_refuse(connection, "E2BIG", "the line is too long; send a shorter one");
            break;
        }
        size_t line_length = (size_t)(end - (bytes + done));
        connection_answer(connection, (const char *)bytes + done, line_length);
        done += line_length + 1;
        session->within = false;
    }
    session_watch(session, done < length);
    return done;
}

static void connection_on_late(struct session *session)
{
    connection_refuse(connection_of(session), "ETIMEDOUT", "no whole line came within 5 s");
}

static void connection_on_begin(struct session *session)
{
    uid_t uid;
    if (stream_peer_uid(session->stream, &uid) < 0 || (uid != 0 && uid != geteuid()))
        connection_refuse(connection_of(session), "EACCES", "only root and the daemon's own user are served; use sudo");
}

static void connection_on_end(struct session *session)
{
    if (connection_of(session)->later)
        admin_later_abandon(connection_of(session)->later);
}

int admin_server_new(const struct admin_config *config, struct admin_server **ret_server)
{
    struct sessions_config sessions = {
        .loop = config->loop,
        .session_bytes = sizeof(struct admin_connection),
        .on_begin = connection_on_begin,
        .on_bytes = connection_on_bytes,
        .send_piece = connection_send_piece,
        .on_late = connection_on_late,
        .on_end = connection_on_end,
    };
    struct admin_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->config = *config;
    listener_config_init(&sessions.listening);
    sessions.listening.unix_path = config->path;
    sessions.listening.unix_mode = 0660;
    sessions.listening.retry_bind = true;
    sessions.listening.keeps_reserve = true; /* whoever has to look into it must get in when the descriptors have run out */
    sessions.listening.connections_max = ADMIN_CONNECTIONS_MAX;
    /* Further lines, while a client does not read its answers. */
    sessions.listening.limits.carry_bytes_max = ADMIN_LINE_BYTES_MAX * 16;
    int error = sessions_open(&server->sessions, &sessions, server);
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
    sessions_close(&server->sessions);
    free(server);
}
