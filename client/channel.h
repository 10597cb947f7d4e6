/* channel - the way from a client to one dispatcher, over UDP or TCP, that several exchanges share.
 *
 * Over UDP it is a connected socket, so that a refusal by the dispatcher's machine comes back at once, and nobody else's datagrams
 * come in. Each channel has a source port of its own: SO_REUSEPORT binds a source port to one socket of the dispatcher for good, so
 * after a silence only another port can reach another of its cores.
 * Invariant: no callback after channel_close, and none from within the caller's own calls.
 * Thread: the loop's. Memory: channel_open allocates, channel_close frees (from within any callback too). Nothing blocks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/wire/frame.h"

struct loop;
struct channel;

struct channel_handlers {
    /* A frame from the dispatcher; valid during the call. */
    void (*on_frame)(void *ctx, struct channel *channel, const struct frame *frame);

    /* Nothing gets through any more: -ECONNREFUSED, USHER_EPROTOCOL, … Close it. */
    void (*on_broken)(void *ctx, struct channel *channel, int error);
};

/* bind: where to come from; ADDRESS_NONE: the kernel's choice. -EAFNOSUPPORT: not of the dispatcher's family. -EADDRNOTAVAIL,
 * -EMFILE, -ENOMEM and others of bind(2) and connect(2). */
NODISCARD int channel_open(struct loop *loop, enum frame_transport transport, const struct address *dispatcher,
                           const struct address *bind, const struct channel_handlers *handlers, void *ctx,
                           struct channel **ret_channel);
void channel_close(struct channel *channel);

/* Copies one frame; what the kernel has no room for is lost, as datagrams may be. -ENOBUFS, -EPIPE. */
NODISCARD int channel_send(struct channel *channel, const uint8_t *bytes, size_t length);

const struct address *channel_dispatcher(const struct channel *channel);
enum frame_transport channel_transport(const struct channel *channel);
