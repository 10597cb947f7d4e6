/* exchange - one request to one dispatcher and the wait for its reply.
 *
 * Replies are told apart by their request ID; late ones, duplicates and strangers' are ignored. Requests to one dispatcher share a
 * channel; after a silence the channel takes no more of them, so that the next one leaves from another source port.
 * Invariant: after exchange_send exactly one of on_reply and on_failure is called, never from inside a call of the owner, unless
 * exchange_cancel comes first.
 * Thread: the loop's. Memory: an exchange is a member of its owner; the exchanger frees its channels in exchanger_free, when no
 * exchange is under way any more. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/channel.h"
#include "core/base/random.h"
#include "core/io/timer.h"

struct exchanger;
struct exchange;

struct exchange_handlers {
    /* A reply or an ERROR with this request's ID; valid during the call. */
    void (*on_reply)(void *ctx, struct exchange *exchange, const struct frame *frame);

    /* -ETIMEDOUT: nothing within the reply timeout. Else why it could not be: -ECONNREFUSED, … (exchange_is_local_error). */
    void (*on_failure)(void *ctx, struct exchange *exchange, int error);
};

struct exchange_channel;

struct exchange {
    struct exchanger *exchanger; /* NULL: none under way */
    const struct exchange_handlers *handlers;
    void *ctx;
    uint64_t request_id;
    struct exchange_channel *channel; /* NULL: the sending failed already */
    struct exchange *previous; /* among those of the channel */
    struct exchange *next;
    struct timer timer;
    int error; /* what the timer will report */
};

struct exchanger_config {
    struct loop *loop;
    struct random_state *random;
    struct address bind;
    uint64_t reply_timeout_ns;
};

NODISCARD int exchanger_new(const struct exchanger_config *config, struct exchanger **ret_exchanger);
void exchanger_free(struct exchanger *exchanger);

/* Begins: the ID to encode the request with. exchange_send or exchange_cancel must follow. -ENOMEM. */
NODISCARD int exchange_begin(struct exchanger *exchanger, struct exchange *exchange, const struct exchange_handlers *handlers,
                             void *ctx, uint64_t *ret_request_id);
void exchange_send(struct exchange *exchange, enum frame_transport transport, const struct address *dispatcher,
                   const uint8_t *bytes, size_t length);

/* Whether a failure is our own machine's, such as no file descriptors, and says nothing about the dispatcher. */
bool exchange_is_local_error(int error);

/* No handler is called any more. One that is not under way: no-op. */
void exchange_cancel(struct exchange *exchange);
