/* The master is found through sentinels and followed: against servers that say what the test wants. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/io/stream.h"
#include "core/redis/redis_connection.h"
#include "core/redis/redis_sentinel.h"

#define WAIT_NS (5 * NS_PER_S)
#define DEADLINE_NS (100 * NS_PER_MS)
#define SENTINELS 3u
#define SERVERS 2u

/* A sentinel or a Redis, as far as is needed here. */
struct fake {
    struct listener *listener; /* NULL: down */
    struct stream *streams[8];
    uint32_t accepted;
    struct address address;
    char named[96]; /* to SENTINEL; "": no answer */
    const char *role; /* to ROLE */
    const char *written; /* to SET */
    uint32_t asked;
};

static struct loop *loop;
static struct fake sentinels[SENTINELS];
static struct fake servers[SERVERS];
static struct redis_connection *connection;
static uint32_t ups, downs;
static char reason[REDIS_REASON_BYTES];

static const char *answer_of(struct fake *fake, const char *command)
{
    if (strstr(command, "SENTINEL")) {
        fake->asked++;
        return fake->named;
    }
    if (strstr(command, "PING"))
        return "+PONG\r\n";
    return strstr(command, "ROLE") ? fake->role : fake->written;
}

/* Commands come one at a time here. */
static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    char command[256];
    snprintf(command, sizeof(command), "%.*s", (int)length, (const char *)bytes);
    const char *answer = answer_of(ctx, command);
    cr_assert_eq(stream_send(stream, answer, strlen(answer)), 0);
    return length;
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct fake *fake = ctx;
    (void)error;
    for (size_t i = 0; i < ARRAY_COUNT(fake->streams); i++)
        if (fake->streams[i] == stream)
            fake->streams[i] = NULL;
}

static const struct stream_handlers fake_handlers = {.on_bytes = on_bytes, .on_closed = on_closed};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct fake *fake = ctx;
    (void)listener;
    fake->accepted++;
    for (size_t i = 0; i < ARRAY_COUNT(fake->streams); i++)
        if (!fake->streams[i]) {
            fake->streams[i] = stream;
            stream_set_handlers(stream, &fake_handlers, fake);
            return;
        }
}

static void fake_up(struct fake *fake)
{
    struct listener_config config;
    listener_config_init(&config);
    config.address = (struct address){.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}, .port = fake->address.port};
    config.on_accept = on_accept;
    config.ctx = fake;
    cr_assert_eq(listener_open(loop, &config, &fake->listener), 0);
    fake->address = *listener_local_address(fake->listener);
}

static void fake_down(struct fake *fake)
{
    listener_close(fake->listener);
    fake->listener = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(fake->streams); i++)
        if (fake->streams[i])
            stream_abort(fake->streams[i]);
}

static void sentinel_names(struct fake *sentinel, const struct fake *server)
{
    char port[8];
    int port_length = snprintf(port, sizeof(port), "%u", server->address.port);
    snprintf(sentinel->named, sizeof(sentinel->named), "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", port_length, port);
}

static void sentinels_name(const struct fake *server)
{
    for (uint32_t i = 0; i < SENTINELS; i++)
        sentinel_names(&sentinels[i], server);
}

static void on_up(void *ctx)
{
    (void)ctx;
    ups++;
}

static void on_down(void *ctx, const char *why)
{
    (void)ctx;
    downs++;
    snprintf(reason, sizeof(reason), "%s", why);
}

static void connection_open(void)
{
    struct redis_connection_config config = {
        .loop = loop, .call_deadline_ns = DEADLINE_NS, .on_up = on_up, .on_down = on_down, .seed = 1};
    config.target = (struct redis_target){.kind = REDIS_TARGET_SENTINEL, .name = "main", .sentinel_count = SENTINELS};
    for (uint32_t i = 0; i < SENTINELS; i++)
        config.target.sentinels[i] = sentinels[i].address;
    cr_assert_eq(redis_connection_new(&config, &connection), 0);
}

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    for (uint32_t i = 0; i < SENTINELS; i++)
        fake_up(&sentinels[i]);
    for (uint32_t i = 0; i < SERVERS; i++) {
        fake_up(&servers[i]);
        servers[i].role = i == 0 ? "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" : "*2\r\n$5\r\nslave\r\n$1\r\nx\r\n";
        servers[i].written = "+OK\r\n";
    }
    sentinels_name(&servers[0]);
}

static void teardown(void)
{
    redis_connection_free(connection);
    loop_free(loop);
}

TestSuite(redis_sentinel, .init = setup, .fini = teardown, .timeout = 60);

#define run_until(condition)                                                                                                     \
    do {                                                                                                                         \
        uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;                                                                      \
        while (!(condition)) {                                                                                                   \
            cr_assert_lt(clock_monotonic_ns(), until_ns, "in vain for %s; %s", #condition, redis_connection_reason(connection)); \
            cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);                                                                     \
        }                                                                                                                        \
    } while (0)

static bool reason_has(const char *part)
{
    return strstr(redis_connection_reason(connection), part) != NULL;
}

static void fail_over(void)
{
    const char *role = servers[0].role;
    servers[0].role = servers[1].role;
    servers[1].role = role;
    sentinels_name(&servers[1]);
}

static bool follows(const struct fake *server)
{
    return redis_connection_is_up(connection) && redis_connection_server(connection)->kind == REDIS_TARGET_TCP &&
           address_equal(&redis_connection_server(connection)->address, &server->address);
}

/* hiredis would end the process. */
Test(redis_sentinel, server_that_says_what_nobody_asked_for_is_left)
{
    servers[0].role = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+unasked\r\n";
    connection_open();
    run_until(reason_has("it says what nobody has asked for"));
    cr_expect_not(redis_connection_is_up(connection));
    servers[0].role = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
    run_until(redis_connection_is_up(connection));
    for (size_t i = 0; i < ARRAY_COUNT(servers[0].streams); i++)
        if (servers[0].streams[i])
            cr_assert_eq(stream_send(servers[0].streams[i], "+later\r\n", 8), 0);
    uint32_t before = downs;
    run_until(downs > before);
    cr_expect(reason_has("it says what nobody has asked for"));
}

Test(redis_sentinel, unknown_name_is_told)
{
    for (uint32_t i = 0; i < SENTINELS; i++)
        snprintf(sentinels[i].named, sizeof(sentinels[i].named), "*-1\r\n");
    connection_open();
    run_until(reason_has("knows no master called main"));
    cr_expect_eq(redis_connection_server(connection)->kind, REDIS_TARGET_SENTINEL);
}

Test(redis_sentinel, server_that_is_no_sentinel_is_told)
{
    for (uint32_t i = 0; i < SENTINELS; i++)
        snprintf(sentinels[i].named, sizeof(sentinels[i].named), "-ERR unknown command\r\n");
    connection_open();
    run_until(reason_has("is it a sentinel?): ERR unknown command"));
}

Test(redis_sentinel, unreachable_sentinels_are_told_and_tried_again)
{
    for (uint32_t i = 0; i < SENTINELS; i++)
        fake_down(&sentinels[i]);
    connection_open();
    run_until(reason_has("does not answer"));
    fake_up(&sentinels[2]);
    run_until(follows(&servers[0]));
}

Test(redis_sentinel, host_name_instead_of_an_address_is_told)
{
    for (uint32_t i = 0; i < SENTINELS; i++)
        snprintf(sentinels[i].named, sizeof(sentinels[i].named), "*2\r\n$5\r\nredis\r\n$4\r\n6379\r\n");
    connection_open();
    run_until(reason_has("names \"redis\" instead of an IP address"));
}

Test(redis_sentinel, what_one_sentinel_says_is_told_rather_than_that_others_are_silent)
{
    fake_down(&sentinels[0]);
    fake_down(&sentinels[2]);
    snprintf(sentinels[1].named, sizeof(sentinels[1].named), "*-1\r\n");
    connection_open();
    run_until(reason_has("knows no master called main"));
}

Test(redis_sentinel, silent_sentinel_is_passed_over_within_its_deadline)
{
    sentinels[0].named[0] = '\0';
    uint64_t began_ns = clock_monotonic_ns();
    connection_open();
    run_until(follows(&servers[0]));
    cr_expect_lt(clock_monotonic_ns() - began_ns, 3 * REDIS_SENTINEL_DEADLINE_NS);
    cr_expect_eq(ups, 1);
    cr_expect_eq(downs, 0);
}

Test(redis_sentinel, named_server_that_is_no_master_is_not_used)
{
    sentinels_name(&servers[1]);
    connection_open();
    run_until(servers[1].accepted >= 3);
    cr_expect(reason_has("it is no master"));
    cr_expect_eq(ups, 0);
}

/* The first sentinel is cut off from the others and believes in a server of the past. */
Test(redis_sentinel, sentinel_that_names_a_useless_server_does_not_hide_the_others)
{
    sentinel_names(&sentinels[0], &servers[1]);
    connection_open();
    run_until(follows(&servers[0]));
    cr_expect_geq(servers[1].accepted, 1);
}

Test(redis_sentinel, lost_master_is_followed_to_its_successor)
{
    connection_open();
    run_until(follows(&servers[0]));
    fake_down(&servers[0]);
    run_until(downs == 1);
    fail_over();
    run_until(follows(&servers[1]));
    cr_expect_eq(ups, 2);
}

Test(redis_sentinel, master_that_became_a_replica_is_left_at_the_first_refusal)
{
    struct redis_command command = {.word_count = 0};
    connection_open();
    run_until(follows(&servers[0]));
    fail_over();
    servers[0].written = "-READONLY You can't write against a read only replica.\r\n";
    redis_command_begin(&command, "SET");
    cr_assert_eq(redis_connection_call(connection, &command, NULL, NULL), 0);
    run_until(follows(&servers[1]));
    cr_expect_neq(strstr(reason, "it is no master any more"), NULL);
    redis_command_done(&command);
}

Test(redis_sentinel, master_that_is_cut_off_from_its_sentinels_is_left)
{
    connection_open();
    run_until(follows(&servers[0]));
    fail_over();
    servers[0].role = servers[1].role; /* it does not know */
    run_until(follows(&servers[1]));
    cr_expect_neq(strstr(reason, "call another server the master"), NULL);
}

Test(redis_sentinel, connection_stays_while_no_sentinel_answers)
{
    connection_open();
    run_until(follows(&servers[0]));
    uint32_t asked = sentinels[0].asked;
    run_until(sentinels[0].asked > asked);
    for (uint32_t i = 0; i < SENTINELS; i++)
        fake_down(&sentinels[i]);
    uint64_t until_ns = clock_monotonic_ns() + 3 * NS_PER_S;
    while (clock_monotonic_ns() < until_ns)
        cr_assert_eq(loop_run_once(loop, NS_PER_MS), 0);
    cr_expect_eq(downs, 0);
}

Test(redis_sentinel, can_be_freed_while_it_asks)
{
    connection_open();
    run_until(sentinels[0].accepted == 1);
}
