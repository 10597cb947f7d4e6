/* The client against a server of the test's own on the same loop: nothing depends on time but the test of the timeout itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/http/client.h"
#include "core/io/loop.h"
#include "core/io/stream.h"

static struct loop *loop;
static struct listener *listener;
static struct http_client *client;
static struct stream *accepted;
static uint32_t accept_count;
static uint32_t request_count;
static const char *say; /* the answer to each request; NULL: silence */
static bool closes; /* behind each answer */
static char request[4096];

static uint32_t answer_count;
static struct http_response answer;
static char body[256];

static size_t server_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    if (length < 4 || memcmp(bytes + length - 4, "\r\n\r\n", 4) != 0)
        return 0;
    memcpy(request, bytes, length < sizeof(request) ? length : sizeof(request) - 1);
    request_count++;
    if (say != NULL)
        cr_assert_eq(stream_send(stream, say, strlen(say)), 0);
    if (closes)
        stream_close(stream);
    return length;
}

static void server_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)error;
    if (stream == accepted)
        accepted = NULL;
}

static const struct stream_handlers server_handlers = {.on_bytes = server_on_bytes, .on_closed = server_on_closed};

static void on_accept(void *ctx, struct listener *from, struct stream *stream)
{
    (void)ctx;
    (void)from;
    accepted = stream;
    accept_count++;
    stream_set_handlers(stream, &server_handlers, NULL);
}

static void on_response(void *ctx, const struct http_response *response)
{
    (void)ctx;
    answer = *response;
    answer_count++;
    size_t length = response->body_length < sizeof(body) ? response->body_length : sizeof(body) - 1;
    if (length > 0)
        memcpy(body, response->body, length);
    body[length] = '\0';
}

static void setup(void)
{
    struct loop_config config;
    struct listener_config listening;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    listener_config_init(&listening);
    cr_assert_eq(address_parse("127.0.0.1:0", &listening.address), 0);
    listening.on_accept = on_accept;
    cr_assert_eq(listener_open(loop, &listening, &listener), 0);
}

static void teardown(void)
{
    http_client_free(client);
    loop_free(loop);
}

TestSuite(client, .init = setup, .fini = teardown);

static void client_open(bool keep_alive, uint64_t timeout_ns)
{
    struct http_client_config config = {
        .loop = loop,
        .address = *listener_local_address(listener),
        .keep_alive = keep_alive,
        .body_bytes_max = 100,
        .timeout_ns = timeout_ns,
        .on_response = on_response,
    };
    cr_assert_eq(http_client_new(&config, &client), 0);
}

/* Sends, and waits for the answer. */
static void ask(void)
{
    uint32_t before = answer_count;
    uint64_t patience_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    cr_assert_eq(http_client_send(client, "GET", "/x", NULL, 0), 0);
    cr_assert_eq(answer_count, before, "never from inside");
    while (answer_count == before && clock_monotonic_ns() < patience_ns)
        cr_assert_eq(loop_run_once(loop, 100 * NS_PER_MS), 0);
    cr_assert_eq(answer_count, before + 1);
}

/* The server closes what it has accepted, and the client hears of it or not. */
static void server_closes(bool heard)
{
    stream_abort(accepted);
    for (int i = 0; i < (heard ? 8 : 0); i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
}

Test(client, refused_connection_is_an_error)
{
    client_open(true, 5 * NS_PER_S);
    listener_close(listener);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
    ask();
    cr_expect_eq(answer.error, -ECONNREFUSED);
}

Test(client, silent_server_is_given_up)
{
    client_open(true, 20 * NS_PER_MS);
    ask();
    cr_expect_eq(answer.error, -ETIMEDOUT);
    cr_expect_not(http_client_is_busy(client));
}

Test(client, garbage_is_an_error)
{
    client_open(true, 5 * NS_PER_S);
    say = "hello\r\n";
    ask();
    cr_expect_eq(answer.error, USHER_EPROTOCOL);
}

Test(client, answer_that_ends_early_is_an_error)
{
    client_open(true, 5 * NS_PER_S);
    say = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    closes = true;
    ask();
    cr_expect_eq(answer.error, -ECONNRESET);
}

Test(client, second_request_beside_one_under_way_is_refused)
{
    client_open(true, 5 * NS_PER_S);
    cr_assert_eq(http_client_send(client, "GET", "/x", NULL, 0), 0);
    cr_expect_eq(http_client_send(client, "GET", "/x", NULL, 0), -EBUSY);
}

Test(client, requests_share_a_kept_connection)
{
    client_open(true, 5 * NS_PER_S);
    say = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    ask();
    ask();
    cr_expect_eq(answer.error, 0);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(body, "ok");
    cr_expect_eq(request_count, 2);
    cr_expect_eq(accept_count, 1);
    cr_expect_eq(strncmp(request, "GET /x HTTP/1.1\r\nHost: 127.0.0.1:", 33), 0, "%s", request);
}

Test(client, requests_have_a_connection_each_otherwise)
{
    client_open(false, 5 * NS_PER_S);
    say = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    ask();
    ask();
    cr_expect_eq(answer.status, 404);
    cr_expect_eq(accept_count, 2);
    cr_expect_not_null(strstr(request, "Connection: close\r\n"));
}

Test(client, connection_that_was_closed_meanwhile_is_replaced)
{
    client_open(true, 5 * NS_PER_S);
    say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    ask();
    server_closes(true);
    ask();
    cr_expect_eq(answer.error, 0);
    server_closes(false);
    ask();
    cr_expect_eq(answer.error, 0);
    cr_expect_eq(request_count, 3);
}

Test(client, body_without_a_length_ends_with_the_connection)
{
    client_open(true, 5 * NS_PER_S);
    say = "HTTP/1.0 200 OK\r\n\r\nabc";
    closes = true;
    ask();
    cr_expect_eq(answer.error, 0);
    cr_expect_str_eq(body, "abc");
}
