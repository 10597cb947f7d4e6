/* stream - a TCP or unix stream connection on a loop, and the listeners that accept them.
 *
 * Receiving: on_bytes gets what is there and says how much of it it took; the rest is kept (the carry) and shown again with more
 * behind it. Sending: stream_send copies into the outgoing buffer; one send is in flight while a second buffer fills.
 * A slow reader can't grow memory: while more than high_bytes wait to be sent, an accepted stream receives nothing.
 *
 * Invariant: on_closed is called exactly once for every stream that was handed out, never from inside a call of the owner, and
 * nothing afterwards; the stream is gone when it returns. Instead of it a detached stream gets its detached function.
 * A peer that closed its sending side counts as closed: what it sent before is delivered, and at the end of the batch in which the
 * last of it was taken, what waits for it is sent as by stream_close.
 * Thread: the loop's; stream_detach and stream_adopt move a connection to another loop. Memory: the loop's. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/address.h"
#include "core/base/macros.h"

struct loop;
struct stream;
struct listener;
struct stream_handoff;

struct stream_handlers {
    /* A stream_connect succeeded. Not called for accepted and adopted ones. May be NULL. */
    void (*on_open)(void *ctx, struct stream *stream);

    /* bytes[0 … length-1], valid during the call. Returns how many it took, ≤ length. What is left over is shown again when more
     * has come, when the outgoing buffer drained after a stream_send said -ENOBUFS, and after stream_resume. */
    size_t (*on_bytes)(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length);

    /* The outgoing buffer had been above high_bytes and fell below low_bytes. May be NULL. */
    void (*on_drained)(void *ctx, struct stream *stream);

    /* The end. error: 0 the peer closed, or stream_close or stream_abort of our own is through; USHER_ETOOLARGE the carry is
     * above carry_bytes_max; USHER_ECANCELLED the loop was freed or the stream evicted; else a negative errno, as
     * -ECONNREFUSED, -ECONNRESET. */
    void (*on_closed)(void *ctx, struct stream *stream, int error);
};

struct stream_limits {
    uint32_t carry_bytes_max; /* bytes that on_bytes may leave; default 1 MiB + 64 KiB, the longest frame */
    uint32_t high_bytes; /* stream_send refuses and receiving stops at or above this; default 256 KiB */
    uint32_t low_bytes; /* both go on below this; default 64 KiB */
    /* Receiving goes on above high_bytes. stream_config_init sets it: were the asking and the answering side both to stop, they
     * would wait for each other for ever. */
    bool receives_always;
    uint32_t close_ms; /* how long stream_close tries to send what waits; default 2000 */
};

void stream_limits_init(struct stream_limits *limits);

struct stream_config {
    struct address address; /* where to; ignored when unix_path is given */
    const char *unix_path; /* NULL, or the path of a unix socket; copied */
    struct address bind; /* ADDRESS_NONE, or the address to come from */
    bool reset; /* TCP: its end is a reset, which leaves no TIME_WAIT to hold the port for a minute; for short connections whose
                 * owner has read all it wants when it ends them */
    const struct stream_handlers *handlers; /* stays valid */
    void *ctx;
    struct stream_limits limits;
};

void stream_config_init(struct stream_config *config);

/* Begins to connect: on_open or on_closed follows. There is no time limit but the kernel's: use a timer and stream_abort.
 * Immediate failures: -EMFILE, -ENOMEM, -ENAMETOOLONG, -EAFNOSUPPORT, and bind's -EADDRINUSE, -EADDRNOTAVAIL. */
NODISCARD int stream_connect(struct loop *loop, const struct stream_config *config, struct stream **ret_stream);

/* Copies into the outgoing buffer; it leaves with the batch. All or nothing: -ENOBUFS when stream_pending_bytes was already at
 * or above high_bytes; on_drained says when to try again. -ENOMEM; -EPIPE after stream_close, stream_detach or the end. */
NODISCARD int stream_send(struct stream *stream, const void *bytes, size_t length);

/* The same in two steps, for who can write where it leaves from: room for `bytes_min` bytes at least, *ret_room in all, behind what
 * waits already; then say how many were written there, which may be 0. In between nothing else may be done to the stream.
 * Errors as of stream_send. */
NODISCARD int stream_send_begin(struct stream *stream, size_t bytes_min, uint8_t **ret_bytes, size_t *ret_room);
void stream_send_commit(struct stream *stream, size_t length);

/* Bytes taken by stream_send that the kernel does not have yet. */
size_t stream_pending_bytes(const struct stream *stream);

/* These have reached high_bytes, and not fallen below low_bytes since: on_drained is still to come. */
bool stream_is_full(const struct stream *stream);

/* Stops and resumes receiving; what arrived already is kept and shown after stream_resume. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Sends what waits, for at most limits.close_ms, then closes; on_closed follows. on_bytes is not called any more. */
void stream_close(struct stream *stream);

/* Closes now, what waits is dropped (TCP: the peer sees a reset if it had sent something unread); on_closed follows. */
void stream_abort(struct stream *stream);

/* handlers NULL: nothing is called any more, not even on_closed; for an owner that goes before its stream has ended. */
void stream_set_handlers(struct stream *stream, const struct stream_handlers *handlers, void *ctx);
void stream_set_limits(struct stream *stream, const struct stream_limits *limits);

/* Something is in progress that does not show in bytes, as a job that runs: the connection is not idle, and its listener does not close
 * it to make room for another. Not busy again, it counts as just used. */
void stream_set_busy(struct stream *stream, bool busy);

void *stream_ctx(const struct stream *stream);
const struct address *stream_peer(const struct stream *stream); /* ADDRESS_NONE for unix sockets */

/* Who is at the other end of a unix socket, as of its connect. -EOPNOTSUPP for TCP. */
NODISCARD int stream_peer_uid(const struct stream *stream, uid_t *ret_uid);

/* Takes the connection off its loop: receiving stops, no handler is called any more; when the kernel has let go of it,
 * on_detached gets all there is: the descriptor, what on_bytes left and what was not sent. The stream is gone then. The handoff
 * belongs to on_detached, and goes to stream_adopt on another loop (through loop_post) or to stream_handoff_free.
 * If the peer closed meanwhile, the adopting side will see that. */
typedef void stream_detached_function(void *ctx, struct stream_handoff *handoff);
void stream_detach(struct stream *stream, stream_detached_function *on_detached, void *ctx);

/* On the new loop's thread. Takes the handoff; unread bytes come to on_bytes from the next batch on. On failure (-ENOMEM) the
 * handoff remains the caller's. Limits go on as they were. */
NODISCARD int stream_adopt(struct loop *loop, struct stream_handoff *handoff, const struct stream_handlers *handlers, void *ctx,
                           struct stream **ret_stream);

/* Closes the connection. Any thread. NULL is a no-op. */
void stream_handoff_free(struct stream_handoff *handoff);

/* on_accept must call stream_set_handlers (else the stream is closed at once). */
typedef void listener_accept_function(void *ctx, struct listener *listener, struct stream *stream);

struct listener_config {
    struct address address; /* port 0: the kernel picks, see listener_local_address */
    const char *unix_path; /* NULL, or a path: a dead socket there is replaced, and it is unlinked on close */
    mode_t unix_mode; /* default 0660 */
    bool keeps_reserve; /* holds a descriptor back, so that one connection gets in though all others are taken */
    bool reuseport;
    bool retry_bind; /* as in udp.h; for a unix path: wait until a killed process's ring has stopped answering there */
    uint32_t backlog; /* default 1024 */
    uint32_t
        connections_max; /* 0: no limit. At the limit the longest idle connection is closed, or, where none is idle, the new one refused */
    uint32_t
        per_address_max; /* 0: no limit. Connections of one IPv4 address or IPv6 /64 but loopback; further ones are refused */
    uint32_t idle_ms; /* 0: no limit. A connection of which nothing has come and to which nothing went for so long is closed */
    struct stream_limits limits; /* of accepted streams */
    listener_accept_function *on_accept;
    void *ctx;
};

void listener_config_init(struct listener_config *config);

/* -EADDRINUSE (for a unix path: somebody answers there) and others of bind(2); -ENAMETOOLONG, -ENOMEM, -EMFILE. */
NODISCARD int listener_open(struct loop *loop, const struct listener_config *config, struct listener **ret_listener);

/* Connections that it accepted live on. */
void listener_close(struct listener *listener);
const struct address *listener_local_address(const struct listener *listener);
