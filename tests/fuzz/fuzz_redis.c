/* Any bytes as what a Redis server sends: calls are answered once each, in their order, and whoever looks at a reply reads nothing that is
 * not there. The first byte says how many calls there are (its last two bits) and how the rest is cut; the second one whether the server
 * greets as it should (even). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/redis/redis_connection.h"

#define CALLS_MAX 4u
#define LIST_DIGITS_MAX 5u /* hiredis makes room for a list when it has read how long it will be */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

static struct loop *loop;
static char path[64];
static int listening = -1;
static uint32_t calls, answers;

static void socket_remove(void)
{
    unlink(path);
}

static void begin(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    CHECK(loop_new(&config, &loop) == 0);
    snprintf(path, sizeof(path), "/tmp/usher-fuzz-redis-%d.sock", (int)getpid());
    memcpy(name.sun_path, path, strlen(path) + 1);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(listening >= 0 && bind(listening, (const struct sockaddr *)&name, sizeof(name)) == 0 && listen(listening, 128) == 0);
    CHECK(atexit(socket_remove) == 0);
}

struct pile {
    const struct redisReply *replies[256];
    size_t count;
};

/* All that may be asked of any reply; what is in a list goes on the pile. */
static void reply_look(const struct redisReply *reply, struct pile *pile)
{
    size_t length;
    struct address address;
    const char *text = redis_reply_text(reply, &length);
    size_t count = redis_reply_count(reply);
    CHECK(strlen(text) <= length && text[length] == '\0');
    CHECK(redis_reply_is_text(reply) + redis_reply_is_error(reply) + redis_reply_is_number(reply) + redis_reply_is_list(reply) <=
          1);
    CHECK(redis_reply_is_number(reply) || redis_reply_number(reply) == 0);
    CHECK((redis_reply_is_list(reply) || count == 0) && !redis_reply_item(reply, count));
    if (redis_reply_address(reply, &address) == 0)
        CHECK(count == 2 && !address_flaw(&address));
    for (size_t i = 0; i < count && pile->count < ARRAY_COUNT(pile->replies); i++)
        pile->replies[pile->count++] = redis_reply_item(reply, i);
}

static void on_reply(void *ctx, const struct redisReply *reply)
{
    struct pile pile = {.replies = {reply}, .count = 1};
    CHECK(*(const uint32_t *)ctx == answers);
    answers++;
    while (pile.count > 0)
        reply_look(pile.replies[--pile.count], &pile);
}

static void on_up(void *ctx)
{
    (void)ctx;
}

static void on_down(void *ctx, const char *reason)
{
    (void)ctx;
    CHECK(memchr(reason, '\0', REDIS_REASON_BYTES));
}

/* Of those that wait the last one: others belong to connections that are gone. */
static int accept_last(void)
{
    int server = -1, next;
    while ((next = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (server >= 0)
            close(server);
        server = next;
    }
    return server;
}

static void turn(void)
{
    CHECK(loop_run_once(loop, 0) == 0);
}

static void calls_make(struct redis_connection *connection, uint32_t count)
{
    static uint32_t numbers[CALLS_MAX] = {0, 1, 2, 3};
    struct redis_command command = {.word_count = 0};
    for (uint32_t i = 0; i < count; i++) {
        redis_command_begin(&command, "GET");
        redis_command_add_number(&command, i);
        CHECK(redis_connection_call(connection, &command, on_reply, &numbers[calls]) == 0);
        calls++;
    }
    redis_command_done(&command);
}

static void serve(struct redis_connection *connection, int server, const uint8_t *data, size_t data_size, uint8_t how)
{
    static const char pong[] = "+PONG\r\n";
    size_t chunk = 1u + (how >> 2);
    if (data[0] % 2 == 0)
        CHECK(send(server, pong, sizeof(pong) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(pong) - 1);
    for (size_t at = 1; at < data_size; at += chunk) {
        turn();
        if (redis_connection_is_up(connection) && calls == 0)
            calls_make(connection, how % CALLS_MAX + 1);
        size_t length = chunk < data_size - at ? chunk : data_size - at;
        if (send(server, data + at, length, MSG_NOSIGNAL) < 0)
            break; /* it has been left */
    }
    turn();
}

static bool list_is_huge(const uint8_t *data, size_t data_size)
{
    size_t digits = 0;
    bool within = false;
    for (size_t i = 0; i < data_size; i++) {
        within = data[i] == '*' || (within && ((data[i] >= '0' && data[i] <= '9') || data[i] == '+'));
        digits = within && data[i] != '*' ? digits + 1 : 0;
        if (digits > LIST_DIGITS_MAX)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    struct redis_connection *connection;
    if (!loop)
        begin();
    if (data_size < 2 || list_is_huge(data, data_size))
        return 0;
    struct redis_connection_config config = {.loop = loop,
                                             .target = {.kind = REDIS_TARGET_UNIX},
                                             .call_deadline_ns = 10 * NS_PER_S,
                                             .on_up = on_up,
                                             .on_down = on_down};
    memcpy(config.target.path, path, strlen(path) + 1);
    calls = answers = 0;
    CHECK(redis_connection_new(&config, &connection) == 0);
    turn();
    int server = accept_last();
    CHECK(server >= 0);
    serve(connection, server, data + 1, data_size - 1, data[0]);
    close(server);
    turn();
    redis_connection_free(connection);
    CHECK(answers == calls);
    return 0;
}
