#include "core/redis/redis_connection.h"

#include <errno.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/io/poll.h"
#include "core/io/timer.h"
#include "core/redis/redis_sentinel.h"

#define RETRY_NS_MIN (20 * NS_PER_MS)
#define RETRY_NS_MAX (2 * NS_PER_S)

/* After a fail-over the sentinels name another server within seconds: they are asked more often. */
#define RETRY_SENTINEL_NS_MAX (500 * NS_PER_MS)

/* How often sentinels are asked whether the master is still the same: one that is cut off from them doesn't know that it isn't. */
#define SENTINEL_INTERVAL_NS (2 * NS_PER_S)

struct pending_call {
    redis_on_reply *on_reply;
    void *ctx;
};

struct redis_connection {
    struct redis_connection_config config;
    struct redis_target server; /* to connect to */
    struct redis_sentinel *sentinel; /* NULL: the target is the server */
    struct timer sentinel_timer;
    redisAsyncContext *context; /* NULL: waiting for the next attempt */
    struct poll_watch watch;
    struct timer retry_timer;
    struct timer deadline_timer;
    struct random_state random;
    struct pending_call pending[REDIS_CALLS_MAX]; /* ring: replies come in the order of the calls */
    uint32_t pending_first;
    uint32_t pending_count;
    uint64_t oldest_since_ns; /* since when the oldest call has been the oldest */
    uint64_t retry_ns;
    bool up;
    bool freeing;
    char reason[REDIS_REASON_BYTES];
};

static void reason_set(struct redis_connection *connection, const char *what)
{
    char address[ADDRESS_TEXT_BYTES];
    if (connection->sentinel)
        snprintf(connection->reason, sizeof(connection->reason), "%s: %s", address_format(&connection->server.address, address),
                 what);
    else
        snprintf(connection->reason, sizeof(connection->reason), "%s", what);
}

/* Half of the waiting time is jitter, so that several rm do not knock in step. */
static void retry_schedule(struct redis_connection *connection)
{
    uint64_t half = connection->retry_ns / 2;
    uint64_t wait_ns = half + (uint64_t)(random_unit(&connection->random) * (double)half);
    timer_start(connection->config.loop, &connection->retry_timer, loop_now_ns(connection->config.loop) + wait_ns);
    uint64_t limit_ns = connection->sentinel ? RETRY_SENTINEL_NS_MAX : RETRY_NS_MAX;
    connection->retry_ns = connection->retry_ns * 2 < limit_ns ? connection->retry_ns * 2 : limit_ns;
}

/* hiredis calls these when it wants to read or write, any number of times. */
static void watch_events_set(struct redis_connection *connection, uint32_t events)
{
    if (poll_is_running(&connection->watch) && connection->watch.events != events)
        poll_modify(&connection->watch, events);
}

static void on_add_read(void *ctx)
{
    struct redis_connection *connection = ctx;
    watch_events_set(connection, connection->watch.events | POLLIN);
}

static void on_delete_read(void *ctx)
{
    struct redis_connection *connection = ctx;
    watch_events_set(connection, connection->watch.events & ~(uint32_t)POLLIN);
}

static void on_add_write(void *ctx)
{
    struct redis_connection *connection = ctx;
    watch_events_set(connection, connection->watch.events | POLLOUT);
}

static void on_delete_write(void *ctx)
{
    struct redis_connection *connection = ctx;
    watch_events_set(connection, connection->watch.events & ~(uint32_t)POLLOUT);
}

static struct pending_call pending_take(struct redis_connection *connection)
{
    CHECK(connection->pending_count > 0);
    struct pending_call call = connection->pending[connection->pending_first];
    connection->pending_first = (connection->pending_first + 1) % REDIS_CALLS_MAX;
    connection->pending_count--;
    return call;
}

/* hiredis is about to free its context. 0.14 has answered all calls with NULL by now; 1.0 and later does so afterwards when the
   connection broke, so that those calls are answered here and hiredis' own word on them is not heard. */
static void on_cleanup(void *ctx)
{
    struct redis_connection *connection = ctx;
    bool was_up = connection->up;
    if (connection->context->err != 0)
        reason_set(connection, connection->context->errstr);
    poll_stop(&connection->watch);
    timer_stop(&connection->deadline_timer);
    timer_stop(&connection->sentinel_timer);
    connection->context->data = NULL;
    connection->context = NULL;
    connection->up = false;
    while (connection->pending_count > 0) {
        struct pending_call call = pending_take(connection);
        if (call.on_reply)
            call.on_reply(call.ctx, NULL);
    }
    if (connection->freeing)
        return;
    if (connection->sentinel && !was_up)
        redis_sentinel_doubt(connection->sentinel);
    retry_schedule(connection);
    if (was_up)
        connection->config.on_down(connection->config.ctx, connection->reason);
}

/* A reply that nobody waits for would end the whole process: hiredis takes it for its own bug, unless it is an error, as those that a
 * server sends before it closes. */
static void babble_end(struct redis_connection *connection)
{
    reason_set(connection, "it says what nobody has asked for");
    redisAsyncFree(connection->context);
}

static bool babble_has_come(const struct redis_connection *connection)
{
    char byte;
    return connection->pending_count == 0 && recv(connection->context->c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 &&
           byte != '-';
}

/* Behind the last reply that somebody waited for. */
static bool babble_follows(const struct redis_connection *connection)
{
    const redisReader *reader = connection->context->c.reader;
    return connection->pending_count == 0 && reader->pos < reader->len && reader->buf[reader->pos] != '-';
}

static void on_ready(void *ctx, struct poll_watch *watch, uint32_t ready)
{
    struct redis_connection *connection = ctx;
    (void)watch;
    if ((ready & POLLIN) && babble_has_come(connection)) {
        babble_end(connection);
        return;
    }
    if (ready & (uint32_t)(POLLIN | POLLHUP | POLLERR))
        redisAsyncHandleRead(connection->context);
    if (connection->context && (ready & POLLOUT))
        redisAsyncHandleWrite(connection->context);
}

static void deadline_update(struct redis_connection *connection)
{
    if (connection->pending_count == 0)
        timer_stop(&connection->deadline_timer);
    else
        timer_start(connection->config.loop, &connection->deadline_timer,
                    connection->oldest_since_ns + connection->config.call_deadline_ns);
}

static void on_deadline(void *ctx, struct timer *timer)
{
    struct redis_connection *connection = ctx;
    char what[40];
    (void)timer;
    snprintf(what, sizeof(what), "no answer within %u ms", (unsigned)(connection->config.call_deadline_ns / NS_PER_MS));
    reason_set(connection, what);
    redisAsyncFree(connection->context);
}

static bool is_error_of(const struct redisReply *reply, const char *code)
{
    return redis_reply_is_error(reply) && strncmp(redis_reply_text(reply, NULL), code, strlen(code)) == 0;
}

static void on_hiredis_reply(redisAsyncContext *context, void *reply, void *ctx)
{
    struct redis_connection *connection = context->data;
    (void)ctx;
    if (!connection)
        return; /* on_cleanup has told */
    struct pending_call call = pending_take(connection);
    connection->oldest_since_ns = loop_now_ns(connection->config.loop);
    deadline_update(connection);
    if (call.on_reply)
        call.on_reply(call.ctx, reply);
    if (connection->sentinel && is_error_of(reply, "READONLY")) {
        reason_set(connection, "it is no master any more");
        redisAsyncFree(context);
    } else if (reply && babble_follows(connection)) {
        babble_end(connection);
    }
}

static int call_send(struct redis_connection *connection, struct redis_command *command, redis_on_reply *on_reply, void *ctx)
{
    const uint8_t *bytes;
    size_t length;
    if (connection->pending_count == REDIS_CALLS_MAX)
        return -ENOBUFS;
    int error = redis_command_finish(command, &bytes, &length);
    if (error < 0)
        return error;
    if (redisAsyncFormattedCommand(connection->context, on_hiredis_reply, NULL, (const char *)bytes, length) != REDIS_OK)
        return -ENOTCONN; /* it is being closed */
    uint32_t last = (connection->pending_first + connection->pending_count) % REDIS_CALLS_MAX;
    connection->pending[last] = (struct pending_call){.on_reply = on_reply, .ctx = ctx};
    if (connection->pending_count++ == 0) {
        connection->oldest_since_ns = loop_now_ns(connection->config.loop);
        deadline_update(connection);
    }
    return 0;
}

/* ["master", …], ["slave", …] or ["sentinel", …] */
static bool is_master(const struct redisReply *reply)
{
    return strcmp(redis_reply_text(redis_reply_item(reply, 0), NULL), "master") == 0;
}

/* What the server says to our login, or to having none, and which options to look at. */
static void refusal_set(struct redis_connection *connection, const struct redisReply *reply)
{
    const struct redis_login *login = &connection->config.target.login;
    const char *option = login->option ? login->option : "redis";
    char what[REDIS_REASON_BYTES];
    if (is_error_of(reply, "NOAUTH"))
        snprintf(what, sizeof(what), "it wants a password (NOAUTH): give --%s-password-file", option);
    else if (is_error_of(reply, "WRONGPASS"))
        snprintf(what, sizeof(what), "WRONGPASS: it does not take what --%s-user and --%s-password-file say", option, option);
    else
        snprintf(what, sizeof(what), "%s", redis_reply_text(reply, NULL));
    reason_set(connection, what);
}

static void on_login(void *ctx, const struct redisReply *reply)
{
    struct redis_connection *connection = ctx;
    if (!redis_reply_is_error(reply))
        return;
    refusal_set(connection, reply);
    redisAsyncFree(connection->context);
}

/* Before anything else. The password leaves memory with what hiredis sends. */
static int login_send(struct redis_connection *connection)
{
    const struct redis_login *login = &connection->config.target.login;
    struct redis_command command = {.word_count = 0};
    char password[REDIS_PASSWORD_BYTES_MAX + 1];
    char reason[REDIS_LOGIN_REASON_BYTES];
    if (!login->password_file)
        return 0;
    int error = redis_password_read(login->password_file, password, reason);
    if (error < 0) {
        reason_set(connection, reason);
        return error;
    }
    redis_command_begin(&command, "AUTH");
    if (login->user[0] != '\0')
        redis_command_add(&command, login->user);
    redis_command_add(&command, password);
    error = call_send(connection, &command, on_login, connection);
    if (error < 0)
        reason_set(connection, "out of memory");
    explicit_bzero(password, sizeof(password));
    explicit_bzero(command.buffer.bytes, command.buffer.length);
    redis_command_done(&command);
    return error;
}

/* The answer to the first PING, or ROLE: a server that is still loading its data says so and is tried again later. */
static void on_greeting(void *ctx, const struct redisReply *reply)
{
    struct redis_connection *connection = ctx;
    if (!reply)
        return;
    if (redis_reply_is_error(reply) || (connection->sentinel && !is_master(reply))) {
        if (redis_reply_is_error(reply))
            refusal_set(connection, reply);
        else
            reason_set(connection, "it is no master");
        redisAsyncFree(connection->context);
        return;
    }
    connection->up = true;
    if (connection->sentinel)
        timer_start(connection->config.loop, &connection->sentinel_timer,
                    loop_now_ns(connection->config.loop) + SENTINEL_INTERVAL_NS);
    connection->retry_ns = RETRY_NS_MIN;
    connection->config.on_up(connection->config.ctx);
}

/* The server did not accept us within the deadline; hiredis frees the context of a refused connection by itself. */
static void greeting_send(struct redis_connection *connection)
{
    struct redis_command command = {.word_count = 0};
    redis_command_begin(&command, connection->sentinel ? "ROLE" : "PING");
    int error = login_send(connection);
    if (error == 0) {
        error = call_send(connection, &command, on_greeting, connection);
        if (error < 0)
            reason_set(connection, "out of memory");
    }
    redis_command_done(&command);
    if (error < 0) {
        redisAsyncFree(connection->context);
        return;
    }
    connection->oldest_since_ns = loop_now_ns(connection->config.loop);
    timer_start(connection->config.loop, &connection->deadline_timer,
                connection->oldest_since_ns + connection->config.call_deadline_ns);
}

static redisAsyncContext *context_new(const struct redis_target *target)
{
    struct address address = target->address;
    char text[ADDRESS_TEXT_BYTES];
    if (target->kind == REDIS_TARGET_UNIX)
        return redisAsyncConnectUnix(target->path);
    address_format(&address, text);
    char *colon = strrchr(text, ':');
    *colon = '\0';
    if (text[0] != '[')
        return redisAsyncConnect(text, address.port);
    colon[-1] = '\0';
    return redisAsyncConnect(text + 1, address.port);
}

static void attempt(struct redis_connection *connection)
{
    redisAsyncContext *context = context_new(&connection->server);
    int error = context ? 0 : -ENOMEM;
    if (context && context->err == 0)
        error = poll_start(connection->config.loop, &connection->watch, context->c.fd, POLLOUT, on_ready, connection);
    if (!context || context->err != 0 || error < 0) {
        reason_set(connection, context && context->err != 0 ? context->errstr : strerror(-error));
        if (context)
            redisAsyncFree(context);
        if (connection->sentinel)
            redis_sentinel_doubt(connection->sentinel);
        retry_schedule(connection);
        return;
    }
    connection->context = context;
    context->data = connection;
    context->ev.data = connection;
    context->ev.addRead = on_add_read;
    context->ev.delRead = on_delete_read;
    context->ev.addWrite = on_add_write;
    context->ev.delWrite = on_delete_write;
    context->ev.cleanup = on_cleanup;
    greeting_send(connection);
}

static void on_retry(void *ctx, struct timer *timer)
{
    struct redis_connection *connection = ctx;
    (void)timer;
    if (connection->sentinel)
        redis_sentinel_ask(connection->sentinel);
    else
        attempt(connection);
}

static void on_sentinel_timer(void *ctx, struct timer *timer)
{
    struct redis_connection *connection = ctx;
    timer_start(connection->config.loop, timer, loop_now_ns(connection->config.loop) + SENTINEL_INTERVAL_NS);
    redis_sentinel_ask(connection->sentinel);
}

/* Asked before an attempt, or while connected: then another server than ours is news, and that nobody answers is none. */
static void on_master(void *ctx, const struct address *master, const char *reason)
{
    struct redis_connection *connection = ctx;
    if (connection->context) {
        if (!connection->up || !master || address_equal(master, &connection->server.address))
            return;
        reason_set(connection, "the sentinels call another server the master");
        redisAsyncFree(connection->context);
    } else if (master) {
        connection->server = (struct redis_target){.kind = REDIS_TARGET_TCP, .address = *master};
        timer_stop(&connection->retry_timer);
        attempt(connection);
    } else {
        snprintf(connection->reason, sizeof(connection->reason), "%s", reason);
        retry_schedule(connection);
    }
}

static int sentinel_open(struct redis_connection *connection)
{
    struct redis_sentinel_config config = {
        .loop = connection->config.loop,
        .target = &connection->config.target,
        .on_answer = on_master,
        .ctx = connection,
        .seed = random_next(&connection->random),
    };
    if (config.target->kind != REDIS_TARGET_SENTINEL)
        return 0;
    return redis_sentinel_new(&config, &connection->sentinel);
}

int redis_connection_new(const struct redis_connection_config *config, struct redis_connection **ret_connection)
{
    CHECK(config->target.kind != REDIS_TARGET_EMBEDDED && config->on_up && config->on_down);
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return -ENOMEM;
    connection->config = *config;
    connection->server = config->target;
    connection->retry_ns = RETRY_NS_MIN;
    random_init(&connection->random, config->seed);
    if (sentinel_open(connection) < 0) {
        free(connection);
        return -ENOMEM;
    }
    timer_init(&connection->sentinel_timer, on_sentinel_timer, connection);
    timer_init(&connection->retry_timer, on_retry, connection);
    timer_init(&connection->deadline_timer, on_deadline, connection);
    timer_start(config->loop, &connection->retry_timer, 0);
    *ret_connection = connection;
    return 0;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (!connection)
        return;
    connection->freeing = true;
    timer_stop(&connection->retry_timer);
    redis_sentinel_free(connection->sentinel);
    connection->sentinel = NULL;
    if (connection->context)
        redisAsyncFree(connection->context);
    free(connection);
}

int redis_connection_call(struct redis_connection *connection, struct redis_command *command, redis_on_reply *on_reply, void *ctx)
{
    if (!connection->up)
        return -ENOTCONN;
    return call_send(connection, command, on_reply, ctx);
}

bool redis_connection_is_up(const struct redis_connection *connection)
{
    return connection->up;
}

uint32_t redis_connection_calls(const struct redis_connection *connection)
{
    return connection->pending_count;
}

const struct redis_target *redis_connection_server(const struct redis_connection *connection)
{
    return &connection->server;
}

const char *redis_connection_reason(const struct redis_connection *connection)
{
    return connection->reason;
}

void redis_connection_hurry(struct redis_connection *connection)
{
    connection->retry_ns = RETRY_NS_MIN;
    if (timer_is_running(&connection->retry_timer))
        timer_start(connection->config.loop, &connection->retry_timer, 0);
}
