/* client - HTTP/1.1 requests to one server on the loop, one at a time: for checks of servers, their metrics pages, and nodes that
 * heartbeat over HTTP.
 *
 * Invariant: every http_client_send that returned 0 is answered by one on_response, unless the client is freed before; never from
 * inside http_client_send. A kept connection that turns out to have been closed meanwhile is replaced, once, without a word.
 * Limits: the answer as in response.h, and timeout_ns from the send to the end of the answer, connecting included.
 * Thread: the loop's. Memory: the client's own. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"

struct loop;
struct http_client;

struct http_response {
    int error; /* 0, or why there is no answer: -ETIMEDOUT, -ECONNREFUSED …, -ECONNRESET: it ended early; as http_response_feed */
    int status;
    const uint8_t *body; /* valid during the call */
    size_t body_length;
};

/* May send the next request; must not free the client. */
typedef void http_on_response(void *ctx, const struct http_response *response);

struct http_client_config {
    struct loop *loop;
    struct address address;
    bool keep_alive; /* else each request has a connection of its own */
    bool discards_body; /* only the status is wanted */
    uint32_t body_bytes_max;
    uint64_t timeout_ns;
    http_on_response *on_response;
    void *ctx;
};

/* -ENOMEM. Connects with the first request. */
NODISCARD int http_client_new(const struct http_client_config *config, struct http_client **ret_client);
void http_client_free(struct http_client *client); /* NULL is a no-op */

/* `verb` "GET", `target` "/path?query"; body NULL: none, else JSON. -EBUSY: one is under way; -ENOMEM, -EMFILE and others of
 * stream_connect. */
NODISCARD int http_client_send(struct http_client *client, const char *verb, const char *target, const void *body, size_t length);

bool http_client_is_busy(const struct http_client *client);
