/* rm_http - one node's heartbeats to one resource manager over HTTP, on a kept connection (--rm http://IP:PORT; docs/HTTP.md). When to send
 * what is heartbeat.c's, as for datagrams; here it is only carried.
 *
 * One message at a time is on its way; of those that come meanwhile the last one follows. A message is acknowledged, refused with a
 * reason, or lost as a datagram may be: no answer, or one that says nothing about the message, such as a proxy's 502.
 * Thread: the loop's. Memory: the object's own. Nothing blocks. */
#pragma once

#include "core/base/address.h"
#include "core/io/loop.h"
#include "core/node/heartbeat.h"
#include "core/wire/heartbeat.h"

struct rm_http;

struct rm_http_config {
    struct loop *loop;
    struct address node;
    void (*on_ack)(void *ctx, uint32_t rm_index, const struct wire_heartbeat_ack *ack);
    /* What the rm has against the message of that sequence. */
    void (*on_error)(void *ctx, uint32_t rm_index, uint64_t sequence, const char *text);
    void *ctx;
};

/* For all rms whose bit is set; the others' places become NULL. On failure nothing is left open. -ENOMEM. */
NODISCARD int rm_http_open(const struct rm_http_config *config, const struct address *rms, uint32_t rm_count, uint64_t which,
                           struct rm_http *ret_https[static HEARTBEAT_RMS_MAX]);
void rm_http_close(struct rm_http *https[static HEARTBEAT_RMS_MAX]);

/* Without memory or descriptors nothing is sent: the next one is not far. True: it is on its way, or waits for the one that is. */
bool rm_http_register(struct rm_http *http, const struct wire_register *registration);
bool rm_http_beat(struct rm_http *http, const struct wire_heartbeat *heartbeat);

/* What has come instead of an answer about the latest message, for the log; "": such an answer, or nothing. Valid until the loop goes on. */
const char *rm_http_failure(const struct rm_http *http);
