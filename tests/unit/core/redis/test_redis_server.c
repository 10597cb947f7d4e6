/* Against a real redis-server, on a socket in a folder of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/io/timer.h"
#include "core/redis/redis_connection.h"
#include "core/redis/redis_server.h"

#define WAIT_NS (10 * NS_PER_S)
#define DEADLINE_NS (100 * NS_PER_MS)

static struct loop *loop;
static char folder[] = "/tmp/usher-redis-XXXXXX";
static struct redis_server *server;
static struct redis_connection *connection;
static uint32_t ups, downs, starts, ends;
static uint32_t answers, losses;
static char last_answer[64];
static char down_reason[REDIS_REASON_BYTES];
static char end_reason[512];

static void on_up(void *ctx)
{
    (void)ctx;
    ups++;
}

static void on_down(void *ctx, const char *reason)
{
    (void)ctx;
    downs++;
    snprintf(down_reason, sizeof(down_reason), "%s", reason);
}

static void on_started(void *ctx)
{
    (void)ctx;
    starts++;
    if (connection)
        redis_connection_hurry(connection);
}

static void on_ended(void *ctx, const char *reason)
{
    (void)ctx;
    ends++;
    snprintf(end_reason, sizeof(end_reason), "%s", reason);
}

static void on_answer(void *ctx, const struct redisReply *reply)
{
    (void)ctx;
    if (!reply) {
        losses++;
        return;
    }
    answers++;
    snprintf(last_answer, sizeof(last_answer), "%s", redis_reply_text(reply, NULL));
}

static void server_open(void)
{
    struct redis_server_config config = {.loop = loop, .folder = folder, .on_started = on_started, .on_ended = on_ended};
    cr_assert_eq(redis_server_new(&config, &server), 0);
}

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_not_null(mkdtemp(folder));
    server_open();
    struct redis_connection_config redis = {.loop = loop,
                                            .target = *redis_server_target(server),
                                            .call_deadline_ns = DEADLINE_NS,
                                            .on_up = on_up,
                                            .on_down = on_down,
                                            .seed = 1};
    cr_assert_eq(redis_connection_new(&redis, &connection), 0);
}

static void teardown(void)
{
    char path[128];
    redis_connection_free(connection);
    redis_server_free(server, 5 * NS_PER_S);
    loop_free(loop);
    /* What a server leaves in its folder. */
    static const char *const files[] = {"appendonlydir/appendonly.aof.1.base.rdb",
                                        "appendonlydir/appendonly.aof.1.incr.aof",
                                        "appendonlydir/appendonly.aof.manifest",
                                        "appendonlydir",
                                        "redis.log",
                                        "redis.sock",
                                        ""};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        remove(path);
    }
}

TestSuite(redis_server, .init = setup, .fini = teardown, .timeout = 60);

/* Runs the loop until the counter has reached the value. */
static void wait_for(const uint32_t *counter, uint32_t value)
{
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    while (*counter < value && clock_monotonic_ns() < until_ns)
        cr_assert_eq(loop_run_once(loop, 10 * NS_PER_MS), 0);
    cr_assert_geq(*counter, value);
}

static int ask(const char *name, const char *key, const char *value)
{
    struct redis_command command = {.word_count = 0};
    redis_command_begin(&command, name);
    redis_command_add(&command, key);
    if (value)
        redis_command_add(&command, value);
    int error = redis_connection_call(connection, &command, on_answer, NULL);
    redis_command_done(&command);
    return error;
}

Test(redis_server, call_before_the_connection_is_up_is_refused)
{
    cr_assert_eq(ask("GET", "key", NULL), -ENOTCONN);
}

Test(redis_server, more_calls_than_may_wait_are_refused)
{
    wait_for(&ups, 1);
    for (uint32_t i = 0; i < REDIS_CALLS_MAX; i++)
        cr_assert_eq(ask("GET", "key", NULL), 0);
    cr_assert_eq(ask("GET", "key", NULL), -ENOBUFS);
    wait_for(&answers, REDIS_CALLS_MAX);
}

Test(redis_server, stopped_server_is_given_up_after_the_deadline)
{
    wait_for(&ups, 1);
    cr_assert_eq(kill(redis_server_pid(server), SIGSTOP), 0);
    uint64_t began_ns = clock_monotonic_ns();
    cr_assert_eq(ask("GET", "key", NULL), 0);
    wait_for(&downs, 1);
    cr_assert_lt(clock_monotonic_ns() - began_ns, 5 * DEADLINE_NS);
    cr_assert_eq(losses, 1);
    cr_assert_str_eq(down_reason, "no answer within 100 ms");
    cr_assert_eq(kill(redis_server_pid(server), SIGCONT), 0);
    wait_for(&ups, 2);
}

Test(redis_server, error_replies_are_answers)
{
    wait_for(&ups, 1);
    cr_assert_eq(ask("NOSUCHCOMMAND", "key", NULL), 0);
    wait_for(&answers, 1);
    cr_assert_eq(strncmp(last_answer, "ERR ", 4), 0);
}

Test(redis_server, missing_program_is_told_with_the_remedy)
{
    struct redis_server *other;
    char reason[REDIS_SERVER_REASON_BYTES];
    struct redis_server_config config = {
        .loop = loop, .folder = folder, .on_started = on_started, .on_ended = on_ended, .reason = reason};
    setenv("PATH", "/nowhere", 1);
    cr_assert_eq(redis_server_new(&config, &other), -ENOENT);
    cr_assert_not_null(strstr(reason, "apt-get install redis-server"));
}

Test(redis_server, too_long_a_folder_is_told_with_the_remedy)
{
    struct redis_server *other;
    char reason[REDIS_SERVER_REASON_BYTES];
    char long_folder[120];
    memset(long_folder, 'x', sizeof(long_folder) - 1);
    long_folder[sizeof(long_folder) - 1] = '\0';
    struct redis_server_config config = {
        .loop = loop, .folder = long_folder, .on_started = on_started, .on_ended = on_ended, .reason = reason};
    cr_assert_eq(redis_server_new(&config, &other), -ENAMETOOLONG);
    cr_assert_not_null(strstr(reason, "--state-dir"));
}

/* As rm may have been started with: nothing of its own, which is all O_CLOEXEC. */
Test(redis_server, descriptors_of_others_are_not_handed_on)
{
    enum { FD = 200 };
    char path[64];
    cr_assert_eq(dup2(STDERR_FILENO, FD), FD);
    wait_for(&ups, 1);
    cr_assert_eq(kill(redis_server_pid(server), SIGKILL), 0);
    wait_for(&ups, 2);
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)redis_server_pid(server), FD);
    cr_expect_eq(access(path, F_OK), -1);
    close(FD);
}

Test(redis_server, killed_server_is_started_again_with_its_data)
{
    wait_for(&ups, 1);
    cr_assert_eq(ask("SET", "key", "value"), 0);
    wait_for(&answers, 1);
    cr_assert_eq(kill(redis_server_pid(server), SIGKILL), 0);
    wait_for(&ends, 1);
    cr_expect_not_null(strstr(end_reason, folder), "%s", end_reason); /* where its log is */
    cr_expect_not_null(strstr(end_reason, "/redis.log"), "%s", end_reason);
    wait_for(&ups, 2);
    cr_assert_eq(starts, 2);
    cr_assert_eq(ask("GET", "key", NULL), 0);
    wait_for(&answers, 2);
    cr_assert_str_eq(last_answer, "value");
}

Test(redis_server, server_left_over_is_taken_over)
{
    wait_for(&ups, 1);
    struct redis_server *first = server;
    pid_t pid = redis_server_pid(first);
    server_open();
    cr_assert_eq(redis_server_pid(server), pid);
    redis_server_free(server, 5 * NS_PER_S);
    wait_for(&downs, 1);
    server = first;
    wait_for(&ups, 2);
    cr_assert_neq(redis_server_pid(server), pid);
}
