/* HTTP requests out of bytes: what is wrong gets its status, whatever the chunks. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/base/macros.h"
#include "core/http/reader.h"

/* Feeds in chunks of `step` bytes; the first outcome that is not HTTP_READER_MORE. */
static int feed(struct http_reader *reader, const char *bytes, size_t length, size_t step, size_t *ret_done)
{
    size_t done = 0, taken;
    while (done < length) {
        size_t chunk = length - done < step ? length - done : step;
        int result = http_reader_feed(reader, (const uint8_t *)bytes + done, chunk, &taken);
        if (result > HTTP_READER_REQUEST)
            return result;
        done += taken;
        *ret_done = done;
        if (result == HTTP_READER_REQUEST)
            return result;
    }
    return HTTP_READER_MORE;
}

static int outcome(const char *bytes, size_t step)
{
    struct http_reader reader;
    size_t done = 0;
    http_reader_init(&reader, 0);
    return feed(&reader, bytes, strlen(bytes), step, &done);
}

Test(reader, refuses_what_is_wrong_whatever_the_chunks)
{
    static const struct {
        const char *bytes;
        int status;
    } wrong[] = {
        {"garbage\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x00\x01\x00", 400},
        {"GET\r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/9.9\r\n\r\n", 505},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET http://other/ HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 413},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n\r\n", 405},
        {"DELETE / HTTP/1.1\r\n\r\n", 405},
        {"CONNECT a:1 HTTP/1.1\r\n\r\n", 405},
        {"BREW / HTTP/1.1\r\n\r\n", 400},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        for (size_t step = 1; step <= 64; step *= 4)
            cr_expect_eq(outcome(wrong[i].bytes, step), wrong[i].status, "%s in steps of %zu: %d", wrong[i].bytes, step,
                         outcome(wrong[i].bytes, step));
}

Test(reader, long_target_is_414)
{
    char request[HTTP_TARGET_BYTES_MAX + 64] = "GET /";
    memset(request + 5, 'a', HTTP_TARGET_BYTES_MAX);
    memcpy(request + 5 + HTTP_TARGET_BYTES_MAX, " HTTP/1.1\r\n\r\n", 14);
    cr_expect_eq(outcome(request, 4096), 414);
    cr_expect_eq(outcome(request, 7), 414);
}

Test(reader, long_head_is_431_in_one_chunk_and_in_many)
{
    static char request[2 * HTTP_HEAD_BYTES_MAX] = "GET / HTTP/1.1\r\nA: ";
    memset(request + 19, 'a', sizeof(request) - 20);
    cr_expect_eq(outcome(request, sizeof(request)), 431);
    cr_expect_eq(outcome(request, 100), 431);
}

Test(reader, endless_empty_lines_are_431)
{
    static char request[2 * HTTP_HEAD_BYTES_MAX];
    memset(request, '\n', sizeof(request) - 1);
    cr_expect_eq(outcome(request, 4096), 431);
}

Test(reader, incomplete_request_waits_for_more)
{
    struct http_reader reader;
    size_t done = 0;
    http_reader_init(&reader, 0);
    cr_expect_not(http_reader_is_within(&reader));
    cr_expect_eq(feed(&reader, "GET / HTTP/1.1\r\n", 16, 16, &done), HTTP_READER_MORE);
    cr_expect(http_reader_is_within(&reader));
}

Test(reader, pipelined_requests_come_one_by_one)
{
    static const char bytes[] = "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.0\r\n\r\n";
    for (size_t step = 1; step <= sizeof(bytes); step++) {
        struct http_reader reader;
        size_t first = 0, second = 0;
        http_reader_init(&reader, 0);
        cr_assert_eq(feed(&reader, bytes, sizeof(bytes) - 1, step, &first), HTTP_READER_REQUEST);
        cr_expect_eq(first, 32);
        cr_expect_str_eq(reader.target, "/a?x=1");
        cr_expect_not(http_reader_is_head(&reader));
        cr_expect(http_reader_keeps_alive(&reader));
        cr_assert_eq(feed(&reader, bytes + first, sizeof(bytes) - 1 - first, step, &second), HTTP_READER_REQUEST);
        cr_expect_eq(first + second, sizeof(bytes) - 1);
        cr_expect_str_eq(reader.target, "/b");
        cr_expect(http_reader_is_head(&reader));
        cr_expect_not(http_reader_keeps_alive(&reader));
    }
}

Test(reader, connection_close_is_heard)
{
    struct http_reader reader;
    size_t done = 0;
    static const char bytes[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    http_reader_init(&reader, 0);
    cr_assert_eq(feed(&reader, bytes, sizeof(bytes) - 1, sizeof(bytes), &done), HTTP_READER_REQUEST);
    cr_expect_not(http_reader_keeps_alive(&reader));
}

#define BODY_MAX 64

Test(reader, wrong_bodies_are_refused_whatever_the_chunks)
{
    static const struct {
        const char *bytes;
        int status;
    } wrong[] = {
        {"POST / HTTP/1.1\r\nContent-Length: 65\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
         413},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"PATCH / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 405},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        for (size_t step = 1; step <= 256; step *= 4) {
            struct http_reader reader;
            size_t done = 0;
            http_reader_init(&reader, BODY_MAX);
            int status = feed(&reader, wrong[i].bytes, strlen(wrong[i].bytes), step, &done);
            cr_expect_eq(status, wrong[i].status, "%s in steps of %zu: %d", wrong[i].bytes, step, status);
            http_reader_done(&reader);
        }
    }
}

Test(reader, tiny_chunks_without_end_are_413)
{
    struct http_reader reader;
    static char bytes[HTTP_HEAD_BYTES_MAX * 4] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    size_t length = strlen(bytes), done = 0;
    /* Chunk extensions are no part of the body, and nobody wants them. */
    memcpy(bytes + length, "1;", 2);
    memset(bytes + length + 2, 'x', sizeof(bytes) - length - 2);
    http_reader_init(&reader, BODY_MAX);
    cr_expect_eq(feed(&reader, bytes, sizeof(bytes), 1000, &done), 413);
    http_reader_done(&reader);
}

Test(reader, bodies_come_whole_and_the_next_request_after_them)
{
    static const char bytes[] = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
                                "PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
                                "DELETE /c HTTP/1.1\r\n\r\n";
    static const struct {
        const char *target;
        const char *body;
    } wanted[] = {{"/a", "hello"}, {"/b", "abcde"}, {"/c", ""}};
    for (size_t step = 1; step <= sizeof(bytes); step++) {
        struct http_reader reader;
        size_t begun = 0;
        http_reader_init(&reader, BODY_MAX);
        for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
            size_t done = 0;
            cr_assert_eq(feed(&reader, bytes + begun, sizeof(bytes) - 1 - begun, step, &done), HTTP_READER_REQUEST);
            cr_expect_str_eq(reader.target, wanted[i].target);
            cr_expect_eq(reader.body.length, strlen(wanted[i].body));
            cr_expect_eq(memcmp(reader.body.length ? (const char *)reader.body.bytes : "", wanted[i].body, reader.body.length),
                         0);
            begun += done;
        }
        cr_expect_eq(begun, sizeof(bytes) - 1);
        http_reader_done(&reader);
    }
}

Test(reader, expectation_of_a_body_is_told_once)
{
    static const char head[] = "POST / HTTP/1.1\r\nX-Expect: no\r\neXpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    struct http_reader reader;
    size_t done = 0;
    http_reader_init(&reader, BODY_MAX);
    cr_assert_eq(feed(&reader, head, sizeof(head) - 1, 7, &done), HTTP_READER_MORE);
    cr_expect(http_reader_take_continue(&reader));
    cr_expect_not(http_reader_take_continue(&reader));
    cr_assert_eq(feed(&reader, "{}", 2, 1, &done), HTTP_READER_REQUEST);
    cr_expect_not(http_reader_take_continue(&reader));
    http_reader_done(&reader);
}
