/* core_internal - what the files of one core share: core.c (life), receive*.c (socket → queue), send.c (queue → socket).
 * Thread: the core's. */
#pragma once

#include <pthread.h>

#include "core/io/timer.h"
#include "core/io/udp.h"
#include "dispatcher/answer.h"
#include "dispatcher/connections.h"
#include "dispatcher/core.h"

/* The answers to one datagram's requests leave in one datagram. */
struct outgoing {
    bool open;
    uint32_t source; /* number of the datagram that is being answered */
    const struct address *peer; /* in the queue, where it stays until the batch has been answered */
    uint32_t via; /* the address that the datagram came to */
    uint8_t *bytes;
    uint32_t length;
};

#define CONNECTION_NONE UINT32_MAX

/* Requests of one connection that stand behind each other in the queue, while they are answered. */
struct outgoing_run {
    uint32_t source; /* index of the connection; CONNECTION_NONE: no run */
    uint32_t generation;
    struct connection *connection; /* NULL: it has gone */
    uint8_t *bytes; /* where its answers go; NULL: nowhere */
    size_t room;
    size_t length;
    uint32_t limits; /* of the requests answered so far */
};

struct core {
    struct core_config config;
    struct core_shared *shared;
    struct loop *loop;
    struct udp *udp;
    struct listener *listener;
    struct address address; /* with the port that the kernel picked */
    struct request_queue queue;
    struct connections connections;
    struct pick_state picks;
    struct answer_context answers;
    struct outgoing outgoing;
    struct outgoing_run run;
    struct timer again; /* the queue was not emptied: come back at once */
    uint32_t datagram_count;
    uint32_t refused_length;
    uint8_t refused[DATAGRAM_BYTES_MAX]; /* to the requests of one datagram that found the queue full */
    struct timer look; /* for connections that are too slow; runs while there are any */
    struct loop_message close_message;
    bool sockets_open;
    pthread_t thread;
    bool started;
    struct counters counters;
};

/* receive.c */

/* REFUSAL_NONE: nothing to count. */
void core_count_refusal(struct core *core, enum refusal refusal);

/* The usual requests with which `bytes` begin, as request_queue_take does it. */
uint32_t core_enqueue_usual(struct core *core, const uint8_t *bytes, uint32_t length, uint32_t segment_bytes,
                            const struct request *from, uint32_t requests_max, uint32_t *ret_count);

/* A frame from the sender that `from` describes. 1: in the queue; 0: passed over; USHER_EPROTOCOL with the refusal, to be counted;
 * USHER_EQUEUEFULL; USHER_ENOTACCEPTED: not for a dispatcher. */
NODISCARD int core_enqueue(struct core *core, const struct frame *frame, const struct request *from, enum refusal *ret_refusal);

/* An ERROR that is to go out in its turn. 0, USHER_EQUEUEFULL. */
NODISCARD int core_enqueue_refusal(struct core *core, uint64_t request_id, const struct request *from, int error,
                                   enum refusal refusal);

/* receive_udp.c */
udp_datagram_function core_on_datagram;
udp_joined_function core_on_joined;

/* receive_tcp.c */
#define CONNECTION_HIGH_BYTES (256u << 10)

/* Of a frame that is not complete yet: requests for addresses and the location are shorter, anything longer is not kept. */
#define CONNECTION_CARRY_BYTES_MAX 4096u
_Static_assert(CONNECTION_CARRY_BYTES_MAX >= DATAGRAM_BYTES_MAX, "any request that is answered here");
listener_accept_function core_on_accept;
timer_function core_on_look;

/* Requests of this connection have left the queue; the sum of their limits. */
void connection_answered(struct connection *connection, uint32_t limits);

/* send_tcp.c */

/* Answers the first of `count` prepared requests, which came over TCP, and those behind it that can go with it. Returns how many, ≥ 1. */
uint32_t send_tcp(struct core *core, const struct request requests[], uint32_t count);

/* Ends the run, when the batch has been answered. */
void send_tcp_flush(struct core *core);

/* send.c */
loop_batch_function core_on_batch;
