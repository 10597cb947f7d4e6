#include "core/http/reader.h"

#include <string.h>
#include <strings.h>

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

/* Only what a header's name begins with is kept: enough to know the ones that matter. */
static int on_header_field(http_parser *parser, const char *bytes, size_t length)
{
    struct http_reader *reader = parser->data;
    if (reader->value_begun)
        reader->field_length = 0;
    reader->value_begun = false;
    for (size_t i = 0; i < length && reader->field_length < HTTP_FIELD_BYTES_MAX; i++)
        reader->field[reader->field_length++] = bytes[i];
    return 0;
}

static int on_header_value(http_parser *parser, const char *bytes, size_t length)
{
    struct http_reader *reader = parser->data;
    (void)bytes;
    (void)length;
    reader->value_begun = true;
    /* 100-continue is the only expectation there is. */
    if (reader->field_length == 6 && strncasecmp(reader->field, "expect", 6) == 0)
        reader->expects_continue = true;
    return 0;
}

/* RFC 9110 calls others than these unknown or not for us. */
static bool method_is_known(const struct http_reader *reader, unsigned method)
{
    if (method == HTTP_GET || method == HTTP_HEAD)
        return true;
    return reader->body_bytes_max > 0 && (method == HTTP_POST || method == HTTP_PUT || method == HTTP_DELETE);
}

static int on_headers_complete(http_parser *parser)
{
    struct http_reader *reader = parser->data;
    bool chunked = (parser->flags & F_CHUNKED) != 0;
    bool has_length = (parser->flags & F_CONTENTLENGTH) != 0;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return reader_refuse(reader, 505);
    if (!method_is_known(reader, parser->method))
        return reader_refuse(reader, 405);
    if ((has_length && parser->content_length > reader->body_bytes_max) || (chunked && reader->body_bytes_max == 0))
        return reader_refuse(reader, 413);
    if (reader->target[0] != '/')
        return reader_refuse(reader, 400);
    reader->within_body = true;
    reader->expects_continue = reader->expects_continue && (chunked || (has_length && parser->content_length > 0));
    return 0;
}

static int on_body(http_parser *parser, const char *bytes, size_t length)
{
    struct http_reader *reader = parser->data;
    reader->expects_continue = false;
    if (length > reader->body_bytes_max - reader->body.length)
        return reader_refuse(reader, 413);
    return buffer_append(&reader->body, bytes, length) < 0 ? reader_refuse(reader, 503) : 0;
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
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void reader_begin(struct http_reader *reader)
{
    http_parser_init(&reader->parser, HTTP_REQUEST);
    reader->parser.data = reader;
    reader->bytes = 0;
    reader->within_body = false;
    reader->expects_continue = false;
    reader->value_begun = false;
    reader->field_length = 0;
    reader->body.length = 0;
    reader->target_length = 0;
    reader->target[0] = '\0';
    reader->status = 0;
    reader->complete = false;
}

void http_reader_init(struct http_reader *reader, uint32_t body_bytes_max)
{
    memset(reader, 0, sizeof(*reader));
    reader->body_bytes_max = body_bytes_max;
    reader_begin(reader);
}

void http_reader_done(struct http_reader *reader)
{
    buffer_done(&reader->body);
}

/* A body in chunks may take as much again for saying how long they are. */
static uint32_t reader_bytes_max(const struct http_reader *reader)
{
    return HTTP_HEAD_BYTES_MAX + (reader->within_body ? 2 * reader->body_bytes_max : 0);
}

int http_reader_feed(struct http_reader *reader, const uint8_t *bytes, size_t length, size_t *ret_taken)
{
    size_t done = 0;
    if (reader->complete)
        reader_begin(reader);
    while (done < length) {
        /* Not a byte more than a request may have goes to the parser, so that one long chunk is no way round the limit. */
        size_t room = reader_bytes_max(reader) - reader->bytes;
        size_t fed = length - done < room ? length - done : room;
        if (room == 0)
            return reader->within_body ? 413 : 431;
        size_t taken = http_parser_execute(&reader->parser, &reader_settings, (const char *)bytes + done, fed);
        reader->bytes += (uint32_t)taken;
        done += taken;
        if (reader->status)
            return reader->status;
        if (reader->complete) {
            *ret_taken = done;
            return HTTP_READER_REQUEST;
        }
        if (HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
            return 400;
    }
    *ret_taken = done;
    return HTTP_READER_MORE;
}

bool http_reader_take_continue(struct http_reader *reader)
{
    bool wanted = reader->within_body && reader->expects_continue;
    if (wanted)
        reader->expects_continue = false;
    return wanted;
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
    return !reader->complete && reader->bytes > 0;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
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
