/* The server on a real loop: client and server take turns on one thread, so that nothing depends on time. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/http/server.h"
#include "core/io/loop.h"

static struct loop *loop;
static struct http_server *server;
static size_t handled;
static char answer[1 << 20];

/* An answer in pieces: "piece 0;", "piece 1;" and so on. */
static struct {
    int count; /* of pieces; negative: it breaks off after as many */
    size_t padding; /* of each */
    int made;
    int freed;
} pieces;

static int piece_next(void *ctx, struct buffer *text)
{
    static char padding[1 << 16];
    cr_assert_eq(ctx, &pieces);
    if (pieces.made == -pieces.count)
        return -EIO;
    int number = pieces.made++;
    memset(padding, 'x', pieces.padding);
    if (buffer_append(text, padding, pieces.padding) < 0 || buffer_print(text, "piece %d;", number) < 0)
        return -ENOMEM;
    return pieces.made == pieces.count ? 0 : PIECES_MORE;
}

static void pieces_free(void *ctx)
{
    cr_assert_eq(ctx, &pieces);
    pieces.freed++;
}

static int on_request(void *context, const struct http_request *request, struct http_answer *ret_answer)
{
    (void)context;
    handled++;
    if (strcmp(request->path, "/fail") == 0)
        return -EIO;
    if (strcmp(request->path, "/large") == 0) {
        static char large[300000];
        memset(large, 'x', sizeof(large));
        return buffer_append(&ret_answer->body, large, sizeof(large));
    }
    if (strcmp(request->path, "/pieces") == 0) {
        ret_answer->pieces = (struct pieces){.next = piece_next, .free = pieces_free, .ctx = &pieces};
        return 0;
    }
    if (strcmp(request->path, "/none") == 0)
        ret_answer->status = 404;
    if (request->body_length)
        return buffer_print(&ret_answer->body, "verb %d body %.*s", request->verb, (int)request->body_length,
                            (const char *)request->body);
    return buffer_print(&ret_answer->body, "path %s query %s", request->path, request->query);
}

static void serve(uint32_t body_bytes_max)
{
    struct http_config http = {
        .loop = loop,
        .body_bytes_max = body_bytes_max,
        .connections_max = HTTP_CONNECTIONS_MAX,
        .on_request = on_request,
    };
    cr_assert_eq(address_parse("127.0.0.1:0", &http.address), 0);
    cr_assert_eq(http_server_new(&http, &server), 0);
}

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    serve(0);
}

static void teardown(void)
{
    http_server_free(server);
    loop_free(loop);
}

TestSuite(server, .init = setup, .fini = teardown);

static void run(void)
{
    for (int i = 0; i < 8; i++)
        cr_assert_eq(loop_run_once(loop, 0), 0);
}

static int client(void)
{
    struct sockaddr_storage address;
    struct address listening = http_server_address(server);
    socklen_t length = address_to_socket(&listening, &address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, length), 0);
    return fd;
}

static void say(int fd, const char *bytes)
{
    cr_assert_eq(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), (ssize_t)strlen(bytes));
    run();
}

enum { HEAR_TURNS = 5, HEAR_TURN_MS = 4 }; /* so long nothing comes: that was all */

/* What has come so far; *ret_closed: and no more will. */
static const char *hear(int fd, bool *ret_closed)
{
    size_t length = 0;
    *ret_closed = false;
    struct pollfd watch = {.fd = fd, .events = POLLIN};
    for (int silent = 0; silent < HEAR_TURNS; silent++) {
        run();
        if (poll(&watch, 1, HEAR_TURN_MS) <= 0)
            continue;
        silent = 0;
        ssize_t got = recv(fd, answer + length, sizeof(answer) - 1 - length, MSG_DONTWAIT);
        if (got <= 0) {
            *ret_closed = true;
            break;
        }
        length += (size_t)got;
    }
    answer[length] = '\0';
    return answer;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

Test(server, busy_port_is_refused)
{
    struct http_server *second = NULL;
    struct http_config http = {.loop = loop, .address = http_server_address(server), .on_request = on_request};
    cr_expect_eq(http_server_new(&http, &second), -EADDRINUSE);
    cr_expect_null(second);
}

Test(server, garbage_gets_400_and_the_end)
{
    bool closed;
    int fd = client();
    say(fd, "\x16\x03\x01 hello\r\n\r\n");
    cr_expect_not_null(strstr(hear(fd, &closed), "HTTP/1.1 400 Bad Request\r\n"));
    cr_expect(closed);
    cr_expect_eq(handled, 0);
    close(fd);
}

Test(server, wrong_method_is_told_the_right_ones)
{
    bool closed;
    int fd = client();
    say(fd, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "HTTP/1.1 405 Method Not Allowed\r\n"), "%s", text);
    cr_expect_not_null(strstr(text, "\r\nAllow: GET, HEAD\r\n"));
    close(fd);
}

Test(server, body_is_refused_and_what_follows_is_not_taken_for_a_request)
{
    bool closed;
    int fd = client();
    say(fd, "GET /a HTTP/1.1\r\nContent-Length: 30\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    cr_expect_eq(count_of(hear(fd, &closed), "HTTP/1.1 "), 1);
    cr_expect_not_null(strstr(answer, " 413 "));
    cr_expect(closed);
    cr_expect_eq(handled, 0);
    close(fd);
}

Test(server, body_too_long_is_413_and_the_end)
{
    bool closed;
    http_server_free(server);
    serve(16);
    int fd = client();
    say(fd, "POST /a HTTP/1.1\r\nContent-Length: 17\r\n\r\n");
    cr_expect_not_null(strstr(hear(fd, &closed), "HTTP/1.1 413 "));
    cr_expect(closed);
    cr_expect_eq(handled, 0);
    close(fd);
}

Test(server, bodies_are_handed_over_also_to_who_asks_first)
{
    bool closed;
    http_server_free(server);
    serve(16);
    int fd = client();
    say(fd,
        "PUT /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "\r\n\r\nverb 2 body {}"), "%s", text);
    cr_expect_not_null(strstr(text, "HTTP/1.1 100 Continue\r\n\r\n"), "%s", text);
    say(fd, "[1]");
    text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "\r\n\r\nverb 1 body [1]"), "%s", text);
    cr_expect_not(closed);
    close(fd);
}

Test(server, failing_handler_is_500)
{
    bool closed;
    int fd = client();
    say(fd, "GET /fail HTTP/1.1\r\n\r\n");
    cr_expect_not_null(strstr(hear(fd, &closed), "HTTP/1.1 500 "));
    close(fd);
}

Test(server, reset_by_the_client_is_survived)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    bool closed;
    int fd = client();
    say(fd, "GET /large HTTP/1.1\r\n\r\n");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
    run();
    fd = client();
    say(fd, "GET / HTTP/1.1\r\n\r\n");
    cr_expect_not_null(strstr(hear(fd, &closed), " 200 OK"));
    close(fd);
}

Test(server, pipelining_without_reading_stops_being_answered)
{
    static char requests[100 * 32];
    bool closed;
    int fd = client();
    for (int i = 0; i < 100; i++)
        memcpy(requests + strlen(requests), "GET /large HTTP/1.1\r\n\r\n", 24);
    say(fd, requests);
    for (int i = 0; i < 100; i++)
        run();
    cr_expect_lt(handled, 50, "30 MB must not pile up: %zu handled", handled);
    close(fd);
    run();
    (void)closed;
}

Test(server, too_many_connections_push_out_the_idle)
{
    int fds[HTTP_CONNECTIONS_MAX + 1];
    bool closed;
    for (int i = 0; i <= HTTP_CONNECTIONS_MAX; i++) {
        fds[i] = client();
        run();
    }
    say(fds[HTTP_CONNECTIONS_MAX], "GET / HTTP/1.1\r\n\r\n");
    cr_expect_not_null(strstr(hear(fds[HTTP_CONNECTIONS_MAX], &closed), " 200 OK"));
    hear(fds[0], &closed);
    cr_expect(closed);
    for (int i = 0; i <= HTTP_CONNECTIONS_MAX; i++)
        close(fds[i]);
}

Test(server, dripping_request_is_answered_once_it_is_whole)
{
    bool closed;
    int fd = client();
    for (const char *at = "GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n"; *at; at++)
        say(fd, (const char[]){*at, '\0'});
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "\r\n\r\npath /x query y=1"), "%s", text);
    cr_expect_not(closed, "kept alive");
    close(fd);
}

Test(server, pipelined_requests_are_answered_in_order)
{
    bool closed;
    int fd = client();
    say(fd, "GET /1 HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nConnection: close\r\n\r\n");
    const char *text = hear(fd, &closed);
    const char *first = strstr(text, "path /1"), *second = strstr(text, "path /none"), *third = strstr(text, "path /3");
    cr_assert(first && second && third && first < second && second < third, "%s", text);
    cr_expect_eq(count_of(text, " 404 Not Found"), 1);
    cr_expect(closed);
    close(fd);
}

Test(server, head_has_the_length_and_no_body)
{
    bool closed;
    int fd = client();
    say(fd, "HEAD /x HTTP/1.0\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "\r\nContent-Length: 14\r\n"), "%s", text);
    cr_expect_null(strstr(text, "path"));
    cr_expect(closed, "HTTP/1.0 closes");
    close(fd);
}

Test(server, large_answer_arrives_whole)
{
    bool closed;
    int fd = client();
    say(fd, "GET /large HTTP/1.1\r\nConnection: close\r\n\r\n");
    const char *text = hear(fd, &closed);
    const char *body = strstr(text, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_eq(strlen(body + 4), 300000);
    cr_expect(closed);
    close(fd);
}

/* ---- answers in pieces ---- */

/* Pieces are made when others have had their time, which is real time. */
static void run_pieces(void)
{
    for (uint64_t end_ns = clock_monotonic_ns() + 30 * NS_PER_MS; clock_monotonic_ns() < end_ns;)
        run();
}

static void run_until_freed(void)
{
    for (int i = 0; i < 100 && pieces.freed == 0; i++)
        run_pieces();
}

Test(server, answer_that_breaks_off_ends_the_connection_without_its_last_chunk)
{
    bool closed;
    pieces.count = -2;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.1\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect(closed);
    cr_expect_null(strstr(text, "\r\n0\r\n"), "%s", text);
    cr_expect_eq(pieces.freed, 1);
    close(fd);
}

Test(server, reader_that_does_not_read_gets_no_more_pieces)
{
    pieces.count = 10000;
    pieces.padding = 50000;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.1\r\n\r\n");
    int made;
    do {
        made = pieces.made;
        run_pieces();
    } while (pieces.made != made && made < 400);
    cr_expect_lt(made, 400, "%d pieces of 50 KB, to a socket that takes a few MB", made);
    close(fd);
    run_until_freed();
    cr_expect_eq(pieces.freed, 1);
}

Test(server, reader_that_leaves_ends_its_answer)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    pieces.count = 1 << 30;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.1\r\n\r\n");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
    run_until_freed();
    cr_expect_eq(pieces.freed, 1);
}

Test(server, server_that_goes_ends_its_answers)
{
    pieces.count = 1 << 30;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.1\r\n\r\n");
    http_server_free(server);
    server = NULL;
    cr_expect_eq(pieces.freed, 1);
    close(fd);
}

Test(server, pieces_come_as_chunks_and_the_next_request_waits_for_the_last_one)
{
    bool closed;
    pieces.count = 3;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.1\r\n\r\nGET /behind HTTP/1.1\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text,
                              "\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npiece 0;\r\n8\r\npiece 1;\r\n8\r\npiece 2;\r\n0\r\n\r\n"
                              "HTTP/1.1 200 OK\r\n"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "path /behind"), "%s", text);
    cr_expect_null(strstr(strstr(text, "0\r\n\r\n"), "chunked"), "%s", text);
    cr_expect_not(closed);
    cr_expect_eq(pieces.freed, 1);
    close(fd);
}

Test(server, pieces_are_told_to_http_1_0_up_to_the_end)
{
    bool closed;
    pieces.count = 2;
    int fd = client();
    say(fd, "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_not_null(strstr(text, "\r\nConnection: close\r\n\r\npiece 0;piece 1;"), "%s", text);
    cr_expect(closed);
    close(fd);
}

Test(server, head_of_pieces_makes_none)
{
    bool closed;
    pieces.count = 2;
    int fd = client();
    say(fd, "HEAD /pieces HTTP/1.1\r\n\r\nGET /behind HTTP/1.1\r\n\r\n");
    const char *text = hear(fd, &closed);
    cr_expect_eq(pieces.made, 0);
    cr_expect_eq(pieces.freed, 1);
    cr_expect_not_null(strstr(text, "path /behind"), "%s", text);
    close(fd);
}

/* What the kernel has for the client already, without letting the server go on. */
static size_t pieces_received(int fd)
{
    ssize_t length = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
    answer[length > 0 ? length : 0] = '\0';
    return count_of(answer, "piece");
}

Test(server, two_answers_in_pieces_take_turns)
{
    pieces.count = 1 << 30;
    int first = client(), second = client();
    say(first, "GET /pieces HTTP/1.1\r\n\r\n");
    say(second, "GET /pieces HTTP/1.1\r\n\r\n");
    (void)pieces_received(first);
    (void)pieces_received(second);
    run_pieces();
    size_t of_first = pieces_received(first), of_second = pieces_received(second);
    cr_expect_gt(of_first, 10);
    cr_expect_leq(of_first, 2 * of_second, "%zu %zu", of_first, of_second);
    cr_expect_leq(of_second, 2 * of_first, "%zu %zu", of_first, of_second);
    close(first);
    close(second);
}
