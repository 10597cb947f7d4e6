/* response - takes one HTTP/1.x answer at a time out of a stream of bytes; http-parser inside, RFC 9112. Pure: bytes in, an answer or
 * an error out; any chunking of the bytes gives the same.
 *
 * Limits: 8 KiB of status line and headers; of the body what the owner allows. Where the body is of no interest it is read all the same,
 * as servers complain of peers that leave in the middle, but what goes beyond the limit ends the answer.
 * Thread: one owner. Memory: embedded in its owner; the body is allocated, up to body_bytes_max. */
#pragma once

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"

#define HTTP_RESPONSE_MORE 0
#define HTTP_RESPONSE_COMPLETE 1

struct http_response_reader {
    http_parser parser;
    uint32_t body_bytes_max;
    bool discards_body;
    bool cut; /* the rest of the body is not waited for: the connection is of no use any more */
    uint32_t head_bytes; /* read so far */
    uint64_t body_bytes; /* discarded so far */
    bool within_body; /* the head is complete */
    bool complete;
    int error; /* of the answer in progress, or 0 */
    struct buffer body;
};

/* discards_body: only the status is wanted. */
void http_response_init(struct http_response_reader *reader, uint32_t body_bytes_max, bool discards_body);
void http_response_done(struct http_response_reader *reader);

/* The next bytes belong to a new answer. */
void http_response_begin(struct http_response_reader *reader);

/* HTTP_RESPONSE_MORE, or HTTP_RESPONSE_COMPLETE: status and body are valid until the next begin. USHER_EPROTOCOL: this is not HTTP, or
 * goes on behind its end. USHER_ETOOLARGE: headers above 8 KiB, or a wanted body above the limit. -ENOMEM. After an error the reader
 * wants a begin. */
NODISCARD int http_response_feed(struct http_response_reader *reader, const uint8_t *bytes, size_t length);

/* The peer has closed: HTTP_RESPONSE_COMPLETE where that is how the body ends, else -ECONNRESET. */
NODISCARD int http_response_end(struct http_response_reader *reader);

/* Of a complete answer: the connection may take another request. */
bool http_response_keeps_alive(const struct http_response_reader *reader);
