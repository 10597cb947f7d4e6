/* backend - the table of functions behind a loop, the state both sides share, and the events a backend reports.
 *
 * The division: a backend moves bytes and waits; everything with a rule in it (buffers, watermarks, limits, when to close, what
 * to call) is common code. docs/IO.md says how to write a further backend.
 * Invariant: a backend sets an operation's bit in handle.operations when it starts and ends it by handle_operation_end.
 * Thread: the loop's, except wake. */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/address.h"
#include "core/base/buffer.h"
#include "core/base/inbox.h"
#include "core/base/macros.h"
#include "core/io/backlog.h"
#include "core/io/handle.h"
#include "core/io/list.h"
#include "core/io/loop.h"
#include "core/io/peers.h"
#include "core/io/poll.h"
#include "core/io/stream.h"
#include "core/io/stream_pool.h"
#include "core/io/timer.h"
#include "core/io/udp.h"

/* Big enough for what a datagram socket meets; sockaddr_storage would be 100 bytes more per packet. */
union socket_name {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* A datagram, or several of one length for one peer, waiting in the send pool for the next submission. */
struct udp_packet {
    union socket_name name;
    uint32_t name_bytes;
    uint32_t offset; /* into udp.send_bytes */
    uint32_t length;
    uint32_t segment_bytes; /* all segments but the last have this length; = length for a single one */
    uint32_t via; /* leaves from udp.vias[via - 1]; 0: from where the kernel finds best */
};

static inline uint32_t udp_packet_datagrams(const struct udp_packet *packet)
{
    return packet->length <= packet->segment_bytes ? 1 : (packet->length + packet->segment_bytes - 1) / packet->segment_bytes;
}

/* Of the machine's own addresses under which datagrams came; those above this number are answered as the kernel finds best. */
#define UDP_VIAS_MAX 64u

struct udp {
    struct handle handle;
    udp_datagram_function *on_datagram; /* NULL after udp_close */
    void *ctx;
    struct udp_config config;
    struct address local;
    struct list_link dirty_link; /* in loop->udp_dirty while packets wait */
    struct list_link ready_link; /* in loop->udp_ready: there may be more to receive */
    uint8_t *send_bytes;
    uint32_t send_used;
    uint32_t packet_count;
    struct udp_packet *packets;
    struct address last_peer; /* of the last packet, to find neighbours that can leave together */
    uint32_t last_room; /* bytes that may still join it */
    bool segmenting; /* GSO works so far */
    int send_error; /* for on_error, in the next batch: sending happens within calls of the owner */
    struct timer error_timer;
    void *backend_state;
    struct backlog backlog;
    uint64_t arrived_ns; /* of the datagram that is being delivered */
    uint64_t batch_ns; /* of the batch that it belongs to: */
    uint64_t batch_wall_ns; /* 0: not needed */
    uint64_t batch_age_ns_min;
    uint32_t batch_count;
    bool wildcard; /* bound to no address in particular: answers must leave from the one that was asked */
    uint32_t via; /* of the datagram that is being delivered */
    const struct address *answering; /* its sender; NULL: none is being delivered */
    uint32_t via_count;
    struct address vias[UDP_VIAS_MAX];
};

/* In front of what a stream receives: room for the beginning of a frame that came before, so that only this has to be copied. */
#define STREAM_HEADROOM_BYTES ((size_t)512)

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_CLOSING, /* sending what waits, then STREAM_ENDING */
    STREAM_DETACHING, /* cancelling without shutting down */
    STREAM_ENDING, /* shut down, cancelling */
};

struct stream {
    struct handle handle;
    enum stream_state state;
    int error; /* for on_closed */
    bool opened; /* was open once, and counts as such */
    bool paused; /* by its owner */
    bool throttled; /* pending reached high_bytes and has not fallen below low_bytes */
    bool show; /* the carry is to be shown again */
    bool drained; /* on_drained is to be called */
    bool receiving; /* what the backend was told */
    bool peer_ended; /* nothing more will come */
    bool shut; /* our sending side was shut down; what still comes is dropped */
    const struct stream_handlers *handlers;
    void *ctx;
    struct stream_limits limits;
    struct address peer;
    struct address local;
    struct buffer carry;
    struct buffer sending; /* what the backend has */
    size_t sent; /* bytes of it that are through */
    struct buffer filling;
    struct list_link ready_link; /* in loop->ready: show or drained is set */
    struct list_link dirty_link; /* in loop->stream_dirty: filling is not empty and nothing is in flight */
    struct listener *listener; /* NULL: not accepted here */
    bool busy; /* its owner says that it is not idle */
    struct list_link listener_link; /* in listener->idle or listener->busy */
    uint64_t touched_ns; /* when something came or went last; 0 before */
    struct peer *address_count; /* its entry in listener->peers; NULL: not counted */
    struct timer close_timer;
    stream_detached_function *on_detached;
    void *detached_ctx;
    struct stream_handoff *handoff; /* allocated by stream_detach, so that nothing can fail at its end */
    struct sockaddr_storage *connect_name; /* until the connect has ended */
    socklen_t connect_name_bytes;
};

struct stream_handoff {
    int fd;
    const struct loop_backend *backend; /* of the loop that it left; only for drop */
    void *backend_ctx;
    struct address peer;
    struct address local;
    struct stream_limits limits;
    struct buffer unread;
    struct buffer sending;
    size_t sent;
    struct buffer filling;
};

struct listener {
    struct handle handle;
    listener_accept_function *on_accept;
    void *ctx;
    struct listener_config config; /* unix_path is a copy */
    struct address local;
    struct list_link idle; /* the quietest first; some may be in the middle of a frame */
    struct list_link busy;
    uint32_t stream_count;
    struct peers peers; /* of per_address_max */
    struct timer idle_timer; /* of idle_ms: for the first in `idle` */
    struct timer rearm_timer;
    char *unix_path;
    int reserve_fd; /* of keeps_reserve; −1: none, or a connection has it */
};

/* A connection of its is in the list of idle ones now. */
void listener_on_stream_idle(struct listener *listener);

/* A connection of its has been closed: it has left its lists. */
void listener_on_stream_gone(struct listener *listener, struct stream *stream);

struct watch {
    struct handle handle;
    struct poll_watch *owner; /* NULL after poll_stop */
    uint32_t armed_events; /* what the operation in flight waits for */
};

struct loop {
    const struct loop_backend *backend;
    void *backend_state;
    struct loop_config config;
    uint64_t now_ns;
    uint64_t gap_ns; /* between the beginnings of two batches, at least */
    struct slots slots;
    struct timer *timers; /* root of the heap */
    uint64_t timer_order;
    loop_batch_function *hook;
    void *hook_ctx;
    struct list_link handles;
    struct list_link ending;
    struct list_link ended;
    struct timer ending_timer;
    struct list_link ready;
    struct list_link udp_dirty; /* have packets */
    struct list_link udp_ready; /* of a ring: are asked in the next batch, without waiting */
    struct list_link stream_dirty;
    struct stream_pool stream_pool;
    bool freeing;
    char reason[LOOP_REASON_BYTES];
    char shortage[LOOP_REASON_BYTES];
    struct loop_stats stats;
    struct inbox inbox; /* on a cache line of its own */
    _Atomic uint32_t sleeping;
    _Atomic bool stopping;
};

struct loop_backend {
    const char *name;

    /* Sets loop->backend_state, which loop_free gives to free(); on failure leaves it NULL and writes a line to loop->reason.
     * config.backend_ctx is the backend's owner's. */
    int (*open)(struct loop *loop);
    /* Before the handles that are still open are released: when the loop's thread is gone, they could not be cancelled. */
    void (*close)(struct loop *loop);

    /* Around loop_run: what belongs to the thread rather than to the loop. */
    void (*run_begin)(struct loop *loop);
    void (*run_end)(struct loop *loop);

    uint64_t (*now_ns)(struct loop *loop);
    uint64_t (*wall_ms)(struct loop *loop);

    /* Submits what is queued and waits for at most timeout_ns (LOOP_FOREVER), until something can be dispatched or wake. */
    int (*wait)(struct loop *loop, uint64_t timeout_ns);
    void (*submit)(struct loop *loop); /* without waiting */
    void (*dispatch)(struct loop *loop); /* reports the events of what wait found */
    void (*batch_end)(struct loop *loop); /* the hook has returned: receive buffers may be used again */
    void (*wake)(struct loop *loop); /* any thread */

    /* Opens the socket and its buffers and starts to receive; sets handle.fd and local. Event: udp_event_datagram. */
    int (*udp_open)(struct loop *loop, struct udp *udp);
    /* Sends udp->packets and calls udp_packets_reset. */
    void (*udp_flush)(struct loop *loop, struct udp *udp);
    /* Does what udp->backlog says. NULL: the backend has no such buffer. */
    void (*udp_tune)(struct udp *udp);

    /* Opens the socket; sets handle.fd and local. */
    int (*listener_open)(struct loop *loop, struct listener *listener);
    /* The descriptors have run out and there is nothing idle to close: take one connection in and close it at once, if possible. */
    bool (*listener_shed)(struct loop *loop, struct listener *listener);
    /* Accepts from now on. Events: listener_event_accept, listener_event_error (after which it doesn't accept any more). */
    void (*listener_arm)(struct loop *loop, struct listener *listener);

    /* Opens the socket and begins to connect. Event: stream_event_connected. */
    int (*stream_connect)(struct loop *loop, struct stream *stream, const struct stream_config *config);
    /* handle.fd is an accepted or adopted connection; sets peer and local. */
    int (*stream_attach)(struct loop *loop, struct stream *stream);
    /* Events: stream_event_received, stream_event_end. After stop, some that were under way may still come. */
    void (*stream_receive)(struct loop *loop, struct stream *stream, bool wanted);
    /* Sends stream->sending from stream->sent on, and advances that. Event: stream_event_sent, perhaps from inside, when all of
     * it is through, or it failed, or was cancelled. */
    void (*stream_send)(struct loop *loop, struct stream *stream);
    /* Tells the peer that nothing more will be sent. */
    void (*stream_shut)(struct loop *loop, struct stream *stream);
    /* The stream leaves with its descriptor: forget it. Nothing is in flight. */
    void (*stream_leave)(struct loop *loop, struct stream *stream);

    /* Waits for watch->owner->events. Event: watch_event. modify: they have changed. */
    int (*watch_arm)(struct loop *loop, struct watch *watch);
    void (*watch_modify)(struct loop *loop, struct watch *watch);

    /* Cancels everything in flight on the handle; a connection is shut down as well if handle->shut_down. May be repeated. */
    void (*cancel)(struct loop *loop, struct handle *handle);
    /* Closes a connection's descriptor that belongs to no handle. Any thread: a handoff may be dropped anywhere. */
    void (*drop)(void *backend_ctx, int fd);
    /* Nothing is in flight any more: closes the descriptor (not a watch's), frees what belongs to the backend. */
    void (*release)(struct loop *loop, struct handle *handle);
};

extern const struct loop_backend loop_backend_epoll;
extern const struct loop_backend loop_backend_uring;

/* Adds to a counter of loop->stats. Only the loop's thread writes: no locked instruction. */
#define LOOP_COUNT(loop, name, amount)                                                                                           \
    atomic_store_explicit(&(loop)->stats.name,                                                                                   \
                          atomic_load_explicit(&(loop)->stats.name, memory_order_relaxed) + (uint64_t)(amount),                  \
                          memory_order_relaxed)

/* Events: a backend calls these from dispatch (stream_event_sent also from stream_send). */

/* What the kernel says of a datagram beside its bytes. */
struct udp_received {
    uint32_t segment_bytes; /* > 0: GRO put several of this length together; the last may be shorter */
    uint64_t wall_ns; /* when it came; 0: not stamped */
    struct address local; /* where it came to, without a port; ADDRESS_NONE: not told */
};

/* A datagram, or several. Valid until batch_end. */
void udp_event_datagram(struct udp *udp, const struct sockaddr *name, uint8_t *bytes, uint32_t length,
                        const struct udp_received *received);
/* A receive that failed: of a connected socket, mostly what ICMP said about an earlier send. */
void udp_event_receive_failed(struct udp *udp, int error);
/* They have been sent; takes the socket out of loop->udp_dirty. */
void udp_packets_reset(struct udp *udp);
/* Packets that the kernel refused. */
void udp_event_send_failed(struct udp *udp, uint32_t packet_count, int error);

/* Takes the descriptor. */
void listener_event_accept(struct listener *listener, int fd);
void listener_event_error(struct listener *listener, int error);

void stream_event_connected(struct stream *stream, int error);
/* STREAM_HEADROOM_BYTES before `bytes` may be written to as well. */
void stream_event_received(struct stream *stream, uint8_t *bytes, size_t length);
void stream_event_end(struct stream *stream, int error); /* 0: the peer's orderly end */
void stream_event_sent(struct stream *stream, int error);

void watch_event(struct watch *watch, uint32_t ready);

/* Finish functions, called once by handles_finish. */
void udp_finish(struct udp *udp);
void listener_finish(struct listener *listener);
void stream_finish(struct stream *stream);
void watch_finish(struct watch *watch);
void timers_run(struct loop *loop);
uint64_t timers_next_ns(const struct loop *loop); /* LOOP_FOREVER: none */

/* For the loop. */
void streams_run_ready(struct loop *loop);
void streams_flush(struct loop *loop);
NODISCARD int stream_new(struct loop *loop, struct stream **ret_stream);
void stream_open(struct stream *stream); /* enters STREAM_OPEN */
void stream_fail(struct stream *stream, int error); /* ends it, on_closed(error) follows */
void stream_hand_over(struct stream *stream); /* a detaching one whose last operation ended */
void stream_update_receiving(struct stream *stream);
void stream_mark_ready(struct stream *stream);
void stream_mark_dirty(struct stream *stream);
void stream_touch(struct stream *stream); /* it has just been used: not the one to close for want of room */
bool stream_has_ended(const struct stream *stream); /* the peer has, and everything it sent was shown */
void stream_close_step(struct stream *stream); /* goes on with stream_close when nothing waits any more */
