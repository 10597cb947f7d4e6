/* core_internal - what the files of one core share: core.c (life), receive.c (socket → queue), send.c (queue → socket).
 * Thread: the core's. */
#pragma once

#include <pthread.h>

#include "core/base/spsc_queue.h"
#include "core/io/timer.h"
#include "core/io/udp.h"
#include "dispatcher/answer.h"
#include "dispatcher/connections.h"
#include "dispatcher/core.h"

/* The answers to one datagram's requests leave in one datagram. */
struct outgoing {
    bool open;
    uint32_t source; /* number of the datagram that is being answered */
    struct address peer;
    uint8_t *bytes;
    uint32_t length;
};

struct core {
    struct core_config config;
    struct core_shared *shared;
    struct loop *loop;
    struct udp *udp;
    struct listener *listener;
    struct spsc_queue queue; /* of struct request */
    struct address *excludes; /* EXCLUDES_MAX for each slot of the queue */
    struct connections connections;
    struct pick_state picks;
    struct outgoing outgoing;
    struct timer again; /* the queue was not emptied: come back at once */
    uint32_t datagram_count;
    struct loop_message close_message;
    bool sockets_open;
    pthread_t thread;
    bool started;
    uint8_t *stream_bytes; /* ANSWER_BYTES_MAX, for answers over TCP */
    struct counters counters;
};

/* receive.c */
udp_datagram_function core_on_datagram;
listener_accept_function core_on_accept;

/* Shows a stalled connection the bytes that it left. */
void connection_resume(struct connection *connection);

/* How much a connection may have in the queue, so that its answers always fit into its stream's outgoing buffer. */
#define CONNECTION_REQUESTS_MAX 512u
#define CONNECTION_HIGH_BYTES (CONNECTION_REQUESTS_MAX * 512u)

/* send.c */
loop_batch_function core_on_batch;

/* Room for another request with its excludes, or NULL: the queue is full. */
struct request *core_queue_reserve(struct core *core, struct address **ret_excludes);
