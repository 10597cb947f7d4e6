/* fixture - a core with a hand-made view, driven by the test's own thread so that what happens in which batch is certain, or by a
 * thread of its own; and clients with blocking sockets. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "dispatcher/core_internal.h"
#include "dispatcher/publication.h"
#include "dispatcher/view.h"

/* TEST_BOTH(subject, condition_outcome): the same test on both backends; the body gets `bench`, open. */
#define TEST_BOTH(subject, name)                                                                                                 \
    static void subject##_##name(struct bench *bench);                                                                           \
    Test(subject, name##_epoll)                                                                                                  \
    {                                                                                                                            \
        bench_run(LOOP_EPOLL, subject##_##name);                                                                                 \
    }                                                                                                                            \
    Test(subject, name##_uring)                                                                                                  \
    {                                                                                                                            \
        bench_run(LOOP_URING, subject##_##name);                                                                                 \
    }                                                                                                                            \
    static void subject##_##name(struct bench *bench)

enum {
    BENCH_SERVICE = 5,
    BENCH_NODES = 20,
    BENCH_REGION = 3,
    BENCH_QUEUE = 64, /* capacity */
};

struct bench {
    enum loop_kind kind;
    struct publication publication;
    struct node_values values[BENCH_NODES];
    struct view *view;
    struct core_shared shared;
    struct core *core;
    struct stream_handoff *handoff; /* what was handed over last */
    uint32_t handoff_count;
};

/* Opens a bench, calls the test, closes the bench. LOOP_URING where the machine forbids it: says so and does nothing. */
void bench_run(enum loop_kind kind, void (*test)(struct bench *bench));

/* Another queue capacity, address, or number of dispatchers in all regions than bench_run's: opens the core anew. */
void bench_reopen(struct bench *bench, const char *listen, uint32_t queue_capacity, uint32_t dispatchers);

/* Batches until the counter has reached `wanted`. */
void bench_run_until(struct bench *bench, enum counter counter, uint64_t wanted);

/* Some batches without waiting. */
void bench_run_batches(struct bench *bench);

/* While held nothing is answered: requests stay in the queue. */
void bench_hold(struct bench *bench, bool held);

/* Batches until so many requests are in the queue. */
void bench_fill(struct bench *bench, uint32_t queued);

uint64_t bench_counter(const struct bench *bench, enum counter counter);
struct address bench_node(uint32_t index);

/* Connected to the core, with a time limit for receiving that only a failing test meets. */
int bench_client(struct bench *bench, int socket_type);

/* A request for `count` addresses of BENCH_SERVICE, padded; returns its length. */
uint32_t request_write(uint8_t *at, uint64_t request_id, uint8_t count, uint32_t padded_length);

/* A sound frame of any type with a body of zeros. */
uint32_t frame_write(uint8_t *at, uint16_t type, uint64_t request_id, uint32_t length);

/* Drives the core until the client has something to read, then reads. 0: the core closed the connection; it was reset: -1. */
ssize_t client_read(struct bench *bench, int client, void *bytes, size_t capacity);

/* The frames of a stream or datagram, one after the other. */
struct answers {
    uint8_t bytes[1 << 18];
    size_t length;
    size_t used;
    struct frame frame; /* the current one */
};

/* True: the next frame is there; more is read from the client while it is not whole. False: end of the stream. */
bool answers_next(struct answers *answers, struct bench *bench, int client);

/* The next frames: an ADDRESS for this request; an ERROR with this code. */
void expect_address(struct answers *answers, struct bench *bench, int client, uint64_t request_id);
void expect_error(struct answers *answers, struct bench *bench, int client, uint64_t request_id, enum wire_error_code code);
void expect_end(struct answers *answers, struct bench *bench, int client);
