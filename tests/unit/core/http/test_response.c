/* Answers of servers, sound and not, in one piece and byte by byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/http/response.h"

static struct http_response_reader reader;

/* The result of the whole text: at once, and byte by byte; both must agree. */
static int feed(const char *text, uint32_t body_bytes_max, bool discards_body)
{
    size_t length = strlen(text);
    http_response_init(&reader, body_bytes_max, discards_body);
    int whole = http_response_feed(&reader, (const uint8_t *)text, length);
    http_response_begin(&reader);
    int result = HTTP_RESPONSE_MORE;
    for (size_t i = 0; i < length && result == HTTP_RESPONSE_MORE; i++)
        result = http_response_feed(&reader, (const uint8_t *)text + i, 1);
    cr_expect_eq(result, whole, "byte by byte %d, whole %d", result, whole);
    return result;
}

static void done(void)
{
    http_response_done(&reader);
}

TestSuite(response, .fini = done);

Test(response, other_protocols_are_refused)
{
    cr_expect_eq(feed("SSH-2.0-OpenSSH_9.2\r\n", 100, false), USHER_EPROTOCOL);
    http_response_done(&reader);
    cr_expect_eq(feed("HTTP/2.0 200 OK\r\n\r\n", 100, false), USHER_EPROTOCOL);
    http_response_done(&reader);
    cr_expect_eq(feed("HTTP/1.1 abc\r\n\r\n", 100, false), USHER_EPROTOCOL);
}

Test(response, endless_headers_are_refused)
{
    static char text[20000];
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nX: %018000d", 0);
    cr_expect_eq(feed(text, 100, false), USHER_ETOOLARGE);
}

Test(response, body_above_the_limit_is_refused)
{
    cr_expect_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", 4, false), USHER_ETOOLARGE);
    http_response_done(&reader);
    cr_expect_eq(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 4, false), USHER_ETOOLARGE);
}

Test(response, body_that_nobody_wants_is_cut_at_the_limit)
{
    cr_expect_eq(feed("HTTP/1.1 503 No\r\nContent-Length: 500000\r\n\r\n", 4, true), HTTP_RESPONSE_COMPLETE);
    cr_expect_eq(reader.parser.status_code, 503);
    cr_expect_not(http_response_keeps_alive(&reader));
    cr_expect_eq(feed("HTTP/1.1 200 OK\r\n\r\nabcde", 4, true), HTTP_RESPONSE_COMPLETE);
}

Test(response, early_end_is_an_error)
{
    cr_expect_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 100, false), HTTP_RESPONSE_MORE);
    cr_expect_eq(http_response_end(&reader), -ECONNRESET);
    http_response_done(&reader);
    cr_expect_eq(feed("HTTP/1.1 200 OK\r\nConte", 100, false), HTTP_RESPONSE_MORE);
    cr_expect_eq(http_response_end(&reader), -ECONNRESET);
}

Test(response, answer_behind_the_answer_is_an_error)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc";
    http_response_init(&reader, 100, false);
    cr_expect_eq(http_response_feed(&reader, (const uint8_t *)text, strlen(text)), USHER_EPROTOCOL);
}

Test(response, end_of_the_connection_ends_a_body_without_a_length)
{
    cr_expect_eq(feed("HTTP/1.0 200 OK\r\n\r\nabc", 100, false), HTTP_RESPONSE_MORE);
    cr_expect_eq(http_response_end(&reader), HTTP_RESPONSE_COMPLETE);
    cr_expect_eq(reader.body.length, 3);
    cr_expect_not(http_response_keeps_alive(&reader));
}

Test(response, information_before_the_answer_is_passed_over)
{
    cr_expect_eq(feed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 100, false),
                 HTTP_RESPONSE_COMPLETE);
    cr_expect_eq(reader.parser.status_code, 201);
    cr_expect_arr_eq(reader.body.bytes, "ok", 2);
    cr_expect(http_response_keeps_alive(&reader));
}

Test(response, answer_without_a_body_is_complete)
{
    cr_expect_eq(feed("HTTP/1.1 204 No Content\r\n\r\n", 100, false), HTTP_RESPONSE_COMPLETE);
}
