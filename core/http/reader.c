#include "core/http/reader.h"

#include <string.h>

#include "core/base/macros.h"

/* http-parser stops at a callback that returns nonzero; reader->status then says why. */
static int reader_refuse(struct http_reader *reader, int status)
{
    reader->status = status;
    return -1;
}

static int on_url(http_parser *parser, const char *bytes, size_t length)
{
    struct http_reader *reader = parser->data;
    if (length > HTTP_TARGET_BYTES_MAX - reader->target_length)
        return reader_refuse(reader, 414);
    memcpy(reader->target + reader->target_length, bytes, length);
    reader->target_length += (uint32_t)length;
    reader->target[reader->target_length] = '\0';
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_reader *reader = parser->data;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return reader_refuse(reader, 505);
    if (parser->method != HTTP_GET && parser->method != HTTP_HEAD)
        return reader_refuse(reader, 405);
    if ((parser->flags & F_CHUNKED) || ((parser->flags & F_CONTENTLENGTH) && parser->content_length > 0))
        return reader_refuse(reader, 413);
    if (reader->target[0] != '/')
        return reader_refuse(reader, 400);
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_reader *reader = parser->data;
    reader->complete = true;
    http_parser_pause(parser, 1); /* one request at a time: what follows stays with the caller */
    return 0;
}

static const http_parser_settings reader_settings = {
    .on_url = on_url,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

static void reader_begin(struct http_reader *reader)
{
    http_parser_init(&reader->parser, HTTP_REQUEST);
    reader->parser.data = reader;
    reader->head_bytes = 0;
    reader->target_length = 0;
    reader->target[0] = '\0';
    reader->status = 0;
    reader->complete = false;
}

void http_reader_init(struct http_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
    reader_begin(reader);
}

int http_reader_feed(struct http_reader *reader, const uint8_t *bytes, size_t length, size_t *ret_taken)
{
    if (reader->complete)
        reader_begin(reader);
    /* Not a byte more than a request may have goes to the parser, so that one long chunk is no way round the limit. */
    size_t room = HTTP_HEAD_BYTES_MAX - reader->head_bytes;
    size_t fed = length < room ? length : room;
    size_t taken = http_parser_execute(&reader->parser, &reader_settings, (const char *)bytes, fed);
    reader->head_bytes += (uint32_t)taken;
    if (reader->status)
        return reader->status;
    if (reader->complete) {
        *ret_taken = taken;
        return HTTP_READER_REQUEST;
    }
    if (HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
        return 400;
    if (fed < length || reader->head_bytes == HTTP_HEAD_BYTES_MAX)
        return 431;
    *ret_taken = taken;
    return HTTP_READER_MORE;
}

bool http_reader_is_head(const struct http_reader *reader)
{
    return reader->parser.method == HTTP_HEAD;
}

bool http_reader_keeps_alive(const struct http_reader *reader)
{
    return http_should_keep_alive(&reader->parser) != 0;
}

bool http_reader_is_within(const struct http_reader *reader)
{
    return !reader->complete && reader->head_bytes > 0;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "Unknown";
}
