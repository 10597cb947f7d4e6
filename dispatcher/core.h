/* core - one answering thread: its loop, its sockets on the service port, its FIFO request queue, its counters (D1 to D8, D11).
 *
 * Receiving fills the queue; at the end of each batch the queue is answered in arrival order, at most ANSWERS_PER_BATCH before the
 * sockets are looked at again, so that a burst waits in the queue, which is bounded and knows how old each request is, and not only
 * in the kernel, which does not. When the queue is full a request is refused with QUEUE_FULL.
 *
 * Thread: core_new, core_start, core_close_sockets, core_stop and core_free by the control thread; all else on the core's own.
 * Memory: allocated in core_new; nothing on the way of a request, except what a new TCP connection needs. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/counters.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/policy/values.h"
#include "dispatcher/feedback.h"
#include "dispatcher/placement.h"
#include "dispatcher/publication.h"

struct core;

/* More than one receive call brings (256 datagrams of 28 requests): with less, a flood of full datagrams filled the queue although
 * there was time to answer it, and two in five requests were refused (measured). */
#define ANSWERS_PER_BATCH 8192u
#define CORE_CONNECTIONS_MAX 65536u

/* What the cores of a dispatcher share; written by the control thread. */
struct core_shared {
    struct publication *publication; /* of struct view */
    struct node_values *values;
    uint64_t boot_id;
    uint16_t region;
    float queue_factor; /* D10 */
    _Atomic uint32_t policy; /* enum policy */
    struct feedback_desk *feedback; /* NULL: what clients say of their jobs is ignored */
    struct placement *placement; /* NULL: idle tokens are ignored, and the policy is not finish-time */
    bool takes_jobs;
    /* Takes over a connection on which a JOB came. On the core's thread. */
    void (*hand_over)(void *ctx, struct stream_handoff *handoff);
    void *ctx;
};

struct core_config {
    struct core_shared *shared;
    uint32_t index; /* the core's reader number in the publication */
    enum loop_kind loop_kind;
    bool spin;
    bool joined_datagrams; /* GRO in, GSO out */
    uint32_t udp_buffers; /* a power of two, 8 … 256, or 0 for what suits joined_datagrams */
    uint32_t tcp_buffers; /* a power of two, 8 … 8192, or 0 for the loop's default */
    struct address address; /* port 0: the kernel picks one */
    uint32_t queue_capacity; /* a power of two */
    uint32_t connections_max; /* 1 … CORE_CONNECTIONS_MAX */
    uint32_t connections_per_address; /* 0: no limit */
};

/* Opens the sockets: -EADDRINUSE and others of bind(2), -ENOMEM … */
NODISCARD int core_new(const struct core_config *config, struct core **ret_core);

/* -EAGAIN: no more threads. */
NODISCARD int core_start(struct core *core);

/* Stops listening; what is connected goes on. */
void core_close_sockets(struct core *core);

/* Ends the thread and waits for it. A core that was not started: no-op. */
void core_stop(struct core *core);
void core_free(struct core *core); /* NULL is a no-op */

const struct address *core_address(const struct core *core);

/* For metrics, from any thread. */
const struct counters *core_counters(const struct core *core);
const struct loop *core_loop(const struct core *core);
uint32_t core_queue_length(const struct core *core);
uint32_t core_connections(const struct core *core);
