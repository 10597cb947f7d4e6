/* http - a small HTTP/1.1 server for machines that watch the daemons, and for those that speak to rm in HTTP: GET and HEAD, and,
 * where a body may be sent, POST, PUT and DELETE; keep-alive, pipelining. Answers are whole texts, made at once, or long ones that are
 * made piece by piece (core/io/pieces.h) and sent in chunks; to HTTP/1.0 up to the connection's end.
 *
 * Limits: 8 KiB of request line and headers, 5 s from a request's first byte to its last however it drips, 30 s idle between
 * requests or without reading of a long answer, connections_max connections (the longest idle one gives way).
 * Thread: the loop's. Memory: the server's own. Nothing blocks. */
#pragma once

#include "core/base/address.h"
#include "core/base/buffer.h"
#include "core/base/macros.h"
#include "core/io/pieces.h"

#define HTTP_CONNECTIONS_MAX 64 /* for those who only watch */

struct loop;
struct http_server;

enum http_verb {
    HTTP_VERB_GET, /* and HEAD, whose body the server leaves out */
    HTTP_VERB_POST,
    HTTP_VERB_PUT,
    HTTP_VERB_DELETE,
};

struct http_request {
    enum http_verb verb;
    const char *path; /* "/metrics", as sent: not decoded */
    const char *query; /* what followed the ?, or "" */
    const uint8_t *body;
    size_t body_length;
};

struct http_answer {
    int status; /* 200 unless the handler says otherwise */
    const char *content_type; /* static; "text/plain; charset=utf-8" unless the handler says otherwise */
    const char *allow; /* static; with 405: the verbs there are */
    uint32_t retry_after_s; /* with 503: when to ask again; 0: it is not said */
    struct buffer body; /* the handler appends; the server frees */
    struct pieces pieces; /* instead of a body, with status 200; the server takes it over */
};

/* Negative: 500. The request is valid during the call. */
typedef int http_on_request(void *context, const struct http_request *request, struct http_answer *answer);

struct http_config {
    struct loop *loop;
    struct address address;
    uint32_t body_bytes_max; /* of a request; 0: GET and HEAD only, without a body. Else refusals are JSON: {"error": "…"} */
    uint32_t connections_max;
    http_on_request *on_request;
    void *context;
};

/* Binds and listens; a port that is still busy from an exit a moment ago is waited for (≤ 1 s). -EADDRINUSE, -EADDRNOTAVAIL,
 * -EACCES, -ENOMEM … */
NODISCARD int http_server_new(const struct http_config *config, struct http_server **ret_server);

/* Closes all connections. NULL is a no-op. */
void http_server_free(struct http_server *server);

/* The address it is bound to. */
struct address http_server_address(const struct http_server *server);
