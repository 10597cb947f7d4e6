#include "core/http/response.h"

#include <errno.h>
#include <string.h>

#include "core/base/errors.h"
#include "core/http/reader.h"

/* http-parser stops at a callback that returns nonzero; reader->error then says why. */
static int response_refuse(struct http_response_reader *reader, int error)
{
    reader->error = error;
    return -1;
}

/* The status has come, which is all that is wanted. */
static int response_cut(struct http_response_reader *reader)
{
    reader->cut = true;
    reader->complete = true;
    http_parser_pause(&reader->parser, 1);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_response_reader *reader = parser->data;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return response_refuse(reader, USHER_EPROTOCOL);
    if (parser->status_code < 200)
        return 0; /* another answer follows */
    reader->within_body = true;
    if ((parser->flags & F_CONTENTLENGTH) == 0 || parser->content_length <= reader->body_bytes_max)
        return 0;
    return reader->discards_body ? response_cut(reader) : response_refuse(reader, USHER_ETOOLARGE);
}

static int on_body(http_parser *parser, const char *bytes, size_t length)
{
    struct http_response_reader *reader = parser->data;
    if (reader->discards_body) {
        reader->body_bytes += length;
        return reader->body_bytes > reader->body_bytes_max ? response_cut(reader) : 0;
    }
    if (length > reader->body_bytes_max - reader->body.length)
        return response_refuse(reader, USHER_ETOOLARGE);
    return buffer_append(&reader->body, bytes, length) < 0 ? response_refuse(reader, -ENOMEM) : 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_response_reader *reader = parser->data;
    if (!reader->within_body)
        return 0;
    reader->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings response_settings = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http_response_begin(struct http_response_reader *reader)
{
    http_parser_init(&reader->parser, HTTP_RESPONSE);
    reader->parser.data = reader;
    reader->cut = false;
    reader->head_bytes = 0;
    reader->body_bytes = 0;
    reader->within_body = false;
    reader->complete = false;
    reader->error = 0;
    reader->body.length = 0;
}

void http_response_init(struct http_response_reader *reader, uint32_t body_bytes_max, bool discards_body)
{
    memset(reader, 0, sizeof(*reader));
    reader->body_bytes_max = body_bytes_max;
    reader->discards_body = discards_body;
    http_response_begin(reader);
}

void http_response_done(struct http_response_reader *reader)
{
    buffer_done(&reader->body);
}

int http_response_feed(struct http_response_reader *reader, const uint8_t *bytes, size_t length)
{
    size_t done = 0;
    while (done < length && !reader->complete) {
        size_t fed = length - done;
        /* Headers get no byte more than they may have, however the bytes come. */
        if (!reader->within_body) {
            size_t room = HTTP_HEAD_BYTES_MAX - reader->head_bytes;
            if (room == 0)
                return USHER_ETOOLARGE;
            fed = fed < room ? fed : room;
        }
        size_t taken = http_parser_execute(&reader->parser, &response_settings, (const char *)bytes + done, fed);
        if (reader->error < 0)
            return reader->error;
        if (!reader->complete && HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
            return USHER_EPROTOCOL;
        reader->head_bytes += reader->within_body ? 0 : (uint32_t)taken;
        done += taken;
    }
    if (!reader->complete)
        return HTTP_RESPONSE_MORE;
    /* Nothing was asked that these bytes could answer. */
    return done < length && !reader->cut ? USHER_EPROTOCOL : HTTP_RESPONSE_COMPLETE;
}

int http_response_end(struct http_response_reader *reader)
{
    if (reader->complete)
        return HTTP_RESPONSE_COMPLETE;
    if (!reader->within_body || http_parser_execute(&reader->parser, &response_settings, NULL, 0) != 0 || !reader->complete)
        return -ECONNRESET;
    return HTTP_RESPONSE_COMPLETE;
}

bool http_response_keeps_alive(const struct http_response_reader *reader)
{
    return !reader->cut && http_should_keep_alive(&reader->parser) != 0;
}
