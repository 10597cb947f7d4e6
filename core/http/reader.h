/* reader - takes HTTP/1.x requests out of a stream of bytes, one at a time (pipelining); http-parser inside, RFC 9112. Pure:
 * bytes in, a request or a status out; any chunking of the bytes gives the same requests.
 *
 * Thread: one owner. Memory: embedded in its owner; nothing is allocated. */
#pragma once

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES_MAX 8192
#define HTTP_TARGET_BYTES_MAX 1024

struct http_reader {
    http_parser parser;
    uint32_t head_bytes; /* of the request in progress */
    uint32_t target_length;
    int status; /* what is wrong with the request in progress, or 0 */
    bool complete;
    char target[HTTP_TARGET_BYTES_MAX + 1]; /* "/metrics?x=1"; a complete request's until the next call */
};

#define HTTP_READER_MORE 0
#define HTTP_READER_REQUEST 1

void http_reader_init(struct http_reader *reader);

/* HTTP_READER_MORE: all bytes are taken, no request is complete. HTTP_READER_REQUEST: *ret_taken bytes end a GET or HEAD
 * request. Else a status of 400 … 505: answer it and close; the reader is of no more use. */
int http_reader_feed(struct http_reader *reader, const uint8_t *bytes, size_t length, size_t *ret_taken);

/* Of a complete request. */
bool http_reader_is_head(const struct http_reader *reader);
bool http_reader_keeps_alive(const struct http_reader *reader);

/* A request has begun and is not complete. */
bool http_reader_is_within(const struct http_reader *reader);

/* "Not Found" for 404. */
const char *http_status_text(int status);
