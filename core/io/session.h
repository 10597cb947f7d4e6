/* session - the connections of a small server that answers requests in the order in which they come, some of them at length (pieces): what
 * HTTP and the admin socket have in common. The owner understands the bytes; its struct of a connection begins with a struct session.
 *
 * A request must be complete SESSION_REQUEST_NS after its first byte; without one, or when the peer reads nothing of a long answer, a
 * connection ends after SESSION_IDLE_NS. While a long answer is under way nothing more is received; a peer that got only a part of one sees
 * the connection reset, so that it does not take that for the whole.
 * Thread: the loop's. Memory: struct sessions is a member of its owner; a session is freed when its stream has ended. Nothing blocks. */
#pragma once

#include "core/base/clock.h"
#include "core/io/list.h"
#include "core/io/loop.h"
#include "core/io/pieces.h"
#include "core/io/stream.h"
#include "core/io/timer.h"

#define SESSION_REQUEST_NS (5 * NS_PER_S)
#define SESSION_IDLE_NS (30 * NS_PER_S)
#define SESSION_PENDING_BYTES_MAX (256u << 10)

struct sessions;

struct session {
    struct sessions *all;
    struct list_link link;
    struct stream *stream;
    struct timer timer;
    struct pieces_answer long_answer; /* while it is under way nothing else is taken */
    bool within; /* a request has begun; the timer is its */
    bool ends; /* after the long answer */
    bool closing; /* what the peer still sends is of no interest */
};

struct sessions_config {
    struct loop *loop;
    struct listener_config listening; /* but for on_accept, ctx and limits.high_bytes, which are ours */
    size_t session_bytes; /* of the owner's struct */
    void (*on_begin)(struct session *session);
    size_t (*on_bytes)(struct session *session, const uint8_t *bytes, size_t length); /* as stream_handlers.on_bytes */
    int (*send_piece)(struct session *session, const struct buffer *text, bool last); /* negative: it breaks off */
    void (*on_late)(struct session *session); /* the request that has begun is not complete in time */
    void (*on_end)(struct session *session); /* of what the owner's struct holds */
};

struct sessions {
    struct sessions_config config;
    struct listener *listener;
    struct list_link list;
    struct pieces_line pieces;
    void *ctx; /* the owner's */
};

/* As listener_open. */
NODISCARD int sessions_open(struct sessions *sessions, const struct sessions_config *config, void *ctx);
void sessions_close(struct sessions *sessions);

/* What waits to be sent is sent. */
void session_close(struct session *session);

/* Takes over `pieces`. */
void session_answer_long(struct session *session, struct pieces *pieces);

/* Whether the next request may be taken now. */
bool session_is_ready(const struct session *session);

/* After bytes were looked at. */
void session_watch(struct session *session, bool within);
