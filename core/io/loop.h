/* loop - one thread's event loop: datagrams, streams, timers, messages from other threads, and the time, over one backend:
 * io_uring, epoll with recvmmsg/sendmmsg, or a foreign one (the simulation). docs/IO.md describes how it works.
 *
 * A batch: wait (and thereby submit everything queued) → deliver what completed → messages → timers → the batch hook →
 * queue what is to be sent. So whatever handlers and the hook send in a batch leaves in one submission.
 *
 * Invariant: no handler is ever called from inside a function of this room that the owner called, except by loop_run,
 * loop_run_once and loop_free. From within any handler anything may be started, closed or stopped, also the thing itself.
 * Thread: everything belongs to the thread that first runs the loop; before that, to the one that made it. From any thread:
 * loop_post, loop_stop, loop_stats. Nothing but loop_run, loop_run_once and opening with retry_bind blocks.
 * Memory: loop_new allocates, loop_free frees with everything still open on the loop. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/inbox.h"
#include "core/base/macros.h"

struct loop;
struct loop_backend;

enum loop_kind {
    LOOP_AUTO, /* io_uring; where the machine does not allow it, epoll */
    LOOP_URING,
    LOOP_EPOLL,
};

#define LOOP_REASON_BYTES 192
#define LOOP_FOREVER UINT64_MAX

struct loop_config {
    enum loop_kind kind;
    bool spin; /* never sleep: lowest latency for a whole core */
    uint32_t submission_entries; /* io_uring: operations queued per submission, 16 … 32768; default 1024 */
    uint32_t completion_entries; /* io_uring: ≥ receive buffers of all sockets + sends in flight; default 4096 */
    uint32_t stream_buffers; /* io_uring: receive buffers that the streams share, a power of two; default 128 */
    uint32_t stream_buffer_bytes; /* what one receive of a stream takes in at most; default 8192 */
    const struct loop_backend *backend; /* NULL, or a foreign one, handed backend_ctx; kind is ignored then */
    void *backend_ctx;
    char *reason; /* NULL, or LOOP_REASON_BYTES: gets the text of a failed loop_new */
};

void loop_config_init(struct loop_config *config);

/* USHER_EURINGFORBIDDEN: kind LOOP_URING and the machine does not allow it; config->reason says
 * why and what to do. -ENOMEM, -EMFILE, … as the kernel says. */
NODISCARD int loop_new(const struct loop_config *config, struct loop **ret_loop);

/* Closes what is still open: each stream's on_closed is called with USHER_ECANCELLED, other handlers are not. On the loop's own
 * thread, or after that thread ended. NULL is a no-op. */
void loop_free(struct loop *loop);

/* Runs batches until loop_stop. 0, or a negative errno when the backend broke, which only a bug or the end of memory brings. */
NODISCARD int loop_run(struct loop *loop);

/* One batch; waits at most timeout_ns for something to happen (0: only looks; LOOP_FOREVER). */
NODISCARD int loop_run_once(struct loop *loop, uint64_t timeout_ns);

/* Ends loop_run after the batch in progress, or right at its start. Any thread; not from a signal handler. */
void loop_stop(struct loop *loop);

/* Submits what was sent since the last batch, for those who call loop_run_once and then do something else. */
void loop_flush(struct loop *loop);

/* "uring" or "epoll". */
const char *loop_kind_name(const struct loop *loop);

/* Why LOOP_AUTO did not take io_uring, in one line with the remedy; "" when it did or was not asked. */
const char *loop_fallback_reason(const struct loop *loop);

/* Why the loop works with less than it was to have (io_uring's rings), in one line with the remedy; "" when it has all. */
const char *loop_shortage(const struct loop *loop);

/* CLOCK_MONOTONIC (or the simulation's), read once a batch after the wait. */
uint64_t loop_now_ns(const struct loop *loop);

/* Milliseconds since 1970, read at each call. For stamps that people or other machines read; may step. */
uint64_t loop_wall_ms(struct loop *loop);

/* Reads the clock anew, for handlers that take long. */
uint64_t loop_now_refresh(struct loop *loop);

/* Called in every batch after its completions, messages and timers, and before its buffers go back to the kernel: datagrams
 * received in this batch are still valid here, and what is sent here leaves with this batch. NULL: none. */
typedef void loop_batch_function(void *ctx, struct loop *loop);
void loop_set_batch_hook(struct loop *loop, loop_batch_function *fn, void *ctx);

/* Batches begin no closer together than this: the loop sleeps without listening for what is left of it, and what comes meanwhile is taken
 * in together; not after a batch that has taken in so many datagrams that more may wait. For loops that very many datagrams reach, none
 * of which is in a hurry: waking up costs more than taking one in. 0, as at first: no pause. In loop_run alone, and not in a
 * simulation's time. */
void loop_set_batch_gap(struct loop *loop, uint64_t gap_ns);

/* A message from any thread to the loop's. A member of what it carries; it belongs to the loop from loop_post until fn is called,
 * and to fn then. Messages of one thread arrive in their order. Messages that a loop never took are dropped by loop_free without
 * a call. */
struct loop_message {
    struct inbox_node node;
    void (*fn)(void *ctx, struct loop_message *message);
    void *ctx;
};

/* Any thread. Wakes a sleeping loop (one system call); a busy one is left alone (none). */
void loop_post(struct loop *loop, struct loop_message *message);

/* What happened so far. Written by the loop's thread, relaxed; any thread may read. The .def table makes the names. */
struct loop_stats {
#define LOOP_STAT(name, text) _Atomic uint64_t name;
#include "core/io/loop_stats.def"
#undef LOOP_STAT
};

const struct loop_stats *loop_stats(const struct loop *loop);
