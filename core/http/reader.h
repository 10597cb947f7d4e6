/* reader - takes HTTP/1.x requests out of a stream of bytes, one at a time (pipelining); http-parser inside, RFC 9112. Pure:
 * bytes in, a request or a status out; any chunking of the bytes gives the same requests.
 *
 * Thread: one owner. Memory: embedded in its owner; only a request's body is allocated, up to body_bytes_max. */
#pragma once

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"

#define HTTP_HEAD_BYTES_MAX 8192
#define HTTP_TARGET_BYTES_MAX 1024

#define HTTP_FIELD_BYTES_MAX 16 /* of a header's name: as much as is needed to know the ones that matter */

struct http_reader {
    http_parser parser;
    uint32_t body_bytes_max; /* 0: only GET and HEAD, without a body */
    uint32_t bytes; /* of the request in progress, head and body */
    bool within_body; /* the head is complete */
    bool expects_continue; /* it waits for a 100 before it sends the body (RFC 9110, 10.1.1) */
    bool value_begun;
    uint32_t field_length;
    char field[HTTP_FIELD_BYTES_MAX];
    struct buffer body;
    uint32_t target_length;
    int status; /* what is wrong with the request in progress, or 0 */
    bool complete;
    char target[HTTP_TARGET_BYTES_MAX + 1]; /* "/metrics?x=1"; a complete request's until the next call */
};

#define HTTP_READER_MORE 0
#define HTTP_READER_REQUEST 1

/* body_bytes_max: of a request's body; 0: GET and HEAD only, without a body. */
void http_reader_init(struct http_reader *reader, uint32_t body_bytes_max);
void http_reader_done(struct http_reader *reader);

/* HTTP_READER_MORE: all bytes are taken, no request is complete. HTTP_READER_REQUEST: *ret_taken bytes end a request; its target
 * and body are valid until the next call. Else a status of 400 … 505: answer it and close; the reader is of no more use. */
int http_reader_feed(struct http_reader *reader, const uint8_t *bytes, size_t length, size_t *ret_taken);

/* After HTTP_READER_MORE, true once for a request that waits for a 100 before it sends its body. */
bool http_reader_take_continue(struct http_reader *reader);

/* Of a complete request. */
bool http_reader_is_head(const struct http_reader *reader);
bool http_reader_keeps_alive(const struct http_reader *reader);

/* A request has begun and is not complete. */
bool http_reader_is_within(const struct http_reader *reader);

/* "Not Found" for 404. */
const char *http_status_text(int status);
