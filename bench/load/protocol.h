/* protocol - what is sent to a server, and which replies are sound. One table row for each kind of server.
 *
 * Thread: the engine's. Nothing here blocks or allocates. Internal to the engine. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/engine.h"

struct protocol {
    uint32_t id_offset; /* of the request ID */
    uint32_t id_bytes; /* 8: all of it; 2: the ledger's slot; 0: replies have none and come in order */
    uint32_t outstanding_max; /* of one thread */

    /* Writes a request without its ID. Its length, or -EINVAL with ret_error (-EMSGSIZE: longer than capacity). */
    int (*request_write)(const struct engine_config *config, uint8_t *bytes, size_t capacity, struct conf_error *ret_error);

    /* One datagram that came over that connection. NULL: streams only. */
    void (*take_datagram)(struct engine *engine, uint32_t connection, const uint8_t *bytes, size_t length);

    /* Takes whole replies; returns the bytes used, or a negative error: the stream is out of step. NULL: datagrams only. */
    ssize_t (*take_stream)(struct engine *engine, uint32_t connection, const uint8_t *bytes, size_t length);
};

extern const struct protocol protocol_usher; /* REQUEST_ADDRESS → ADDRESS, ERROR */
extern const struct protocol protocol_echo; /* the same request, and its very bytes back */
extern const struct protocol protocol_dns; /* a query → an answer with records */
extern const struct protocol protocol_resp; /* a Redis command → what is no error */
