#include "core/http/client.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/errors.h"
#include "core/http/response.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/timer.h"

struct http_client {
    struct http_client_config config;
    struct http_response_reader reader;
    struct stream *stream; /* NULL: not connected */
    bool open; /* connected */
    bool reused; /* the request in progress went out on a kept connection */
    bool heard; /* bytes of its answer have come */
    bool busy;
    struct buffer request;
    struct timer timer;
};

static void stream_drop(struct http_client *client)
{
    if (client->stream == NULL)
        return;
    stream_set_handlers(client->stream, NULL, NULL);
    stream_abort(client->stream);
    client->stream = NULL;
    client->open = false;
}

static void request_end(struct http_client *client, int error)
{
    struct http_response response = {.error = error};
    if (error == 0) {
        response.status = client->reader.parser.status_code;
        response.body = client->reader.body.bytes;
        response.body_length = client->reader.body.length;
    }
    if (error < 0 || !client->config.keep_alive || !http_response_keeps_alive(&client->reader))
        stream_drop(client);
    timer_stop(&client->timer);
    client->busy = false;
    client->config.on_response(client->config.ctx, &response);
}

static void request_write(struct http_client *client)
{
    if (stream_send(client->stream, client->request.bytes, client->request.length) < 0)
        request_end(client, -ENOMEM);
}

static void on_open(void *ctx, struct stream *stream)
{
    struct http_client *client = ctx;
    (void)stream;
    client->open = true;
    if (client->busy)
        request_write(client);
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct http_client *client = ctx;
    (void)stream;
    if (!client->busy) { /* unasked, such as a 408 for an idle connection */
        stream_drop(client);
        return length;
    }
    client->heard = true;
    int result = http_response_feed(&client->reader, bytes, length);
    if (result != HTTP_RESPONSE_MORE)
        request_end(client, result < 0 ? result : 0);
    return length;
}

static int request_begin(struct http_client *client);

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct http_client *client = ctx;
    (void)stream;
    bool stale = client->reused && !client->heard;
    client->stream = NULL;
    client->open = false;
    if (!client->busy)
        return;
    if (stale && error != USHER_ECANCELLED) {
        error = request_begin(client);
        if (error == 0)
            return;
    } else if (error == 0) {
        error = http_response_end(&client->reader);
    }
    request_end(client, error < 0 ? error : 0);
}

static const struct stream_handlers client_handlers = {.on_open = on_open, .on_bytes = on_bytes, .on_closed = on_closed};

static void on_timer(void *ctx, struct timer *timer)
{
    struct http_client *client = ctx;
    (void)timer;
    request_end(client, -ETIMEDOUT);
}

static int connect_begin(struct http_client *client)
{
    struct stream_config config;
    stream_config_init(&config);
    config.address = client->config.address;
    config.reset = !client->config.keep_alive; /* checks by the second must not fill the table of ports with TIME_WAIT */
    config.handlers = &client_handlers;
    config.ctx = client;
    return stream_connect(client->config.loop, &config, &client->stream);
}

/* The request goes out on the connection there is, or on a new one. */
static int request_begin(struct http_client *client)
{
    http_response_begin(&client->reader);
    client->heard = false;
    client->reused = client->open;
    if (client->open && stream_send(client->stream, client->request.bytes, client->request.length) == 0)
        return 0;
    stream_drop(client); /* it has just ended */
    client->reused = false;
    return connect_begin(client);
}

int http_client_send(struct http_client *client, const char *verb, const char *target, const void *body, size_t length)
{
    char host[ADDRESS_TEXT_BYTES];
    if (client->busy)
        return -EBUSY;
    client->request.length = 0;
    int error =
        buffer_print(&client->request, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: usher\r\nAccept: */*\r\n%s", verb, target,
                     address_format(&client->config.address, host), client->config.keep_alive ? "" : "Connection: close\r\n");
    if (error == 0 && body != NULL)
        error = buffer_print(&client->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    if (error == 0)
        error = buffer_append(&client->request, "\r\n", 2);
    if (error == 0 && body != NULL)
        error = buffer_append(&client->request, body, length);
    if (error == 0)
        error = request_begin(client);
    if (error < 0) {
        stream_drop(client);
        return error;
    }
    client->busy = true;
    timer_start(client->config.loop, &client->timer, loop_now_ns(client->config.loop) + client->config.timeout_ns);
    return 0;
}

bool http_client_is_busy(const struct http_client *client)
{
    return client->busy;
}

int http_client_new(const struct http_client_config *config, struct http_client **ret_client)
{
    struct http_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return -ENOMEM;
    client->config = *config;
    http_response_init(&client->reader, config->body_bytes_max, config->discards_body);
    timer_init(&client->timer, on_timer, client);
    *ret_client = client;
    return 0;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    timer_stop(&client->timer);
    stream_drop(client);
    http_response_done(&client->reader);
    buffer_done(&client->request);
    free(client);
}
