#include "client/channel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "client/gate.h"
#include "core/base/errors.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/io/udp.h"

/* All the replies that can be under way: a program that was busy elsewhere for longer than the reply timeout must find them in the
 * first batch afterwards, before the timers of the exchanges run. */
#define CHANNEL_RECEIVE_BUFFERS GATE_OPEN_MAX
#define CHANNEL_SEND_PACKETS 32
#define CHANNEL_SEND_BYTES 65536

struct channel {
    enum frame_transport transport;
    struct address dispatcher;
    struct udp *udp; /* one of these two, as the transport says */
    struct stream *stream;
    const struct channel_handlers *handlers;
    void *ctx;
    bool receiving; /* within on_frame: the memory must stay */
    bool closed;
};

static void channel_receive(struct channel *channel, const struct frame *frame)
{
    if (!channel->closed)
        channel->handlers->on_frame(channel->ctx, channel, frame);
}

static void channel_on_datagram(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    (void)udp;
    (void)peer;
    struct channel *channel = ctx;
    channel->receiving = true;
    uint32_t offset = 0;
    while (offset < length && !channel->closed) {
        struct frame frame;
        enum refusal refusal;
        int frame_length = frame_decode_datagram(bytes + offset, length - offset, &frame, &refusal);
        if (frame_length < 0)
            break; /* nonsense is as good as silence: anybody may have sent it */
        channel_receive(channel, &frame);
        offset += (uint32_t)frame_length;
    }
    channel->receiving = false;
    if (channel->closed)
        free(channel);
}

static void channel_on_udp_error(void *ctx, struct udp *udp, int error)
{
    (void)udp;
    struct channel *channel = ctx;
    channel->handlers->on_broken(channel->ctx, channel, error);
}

static size_t channel_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)stream;
    struct channel *channel = ctx;
    size_t offset = 0;
    int error = 0;
    channel->receiving = true;
    while (offset < length && !channel->closed) {
        struct frame frame;
        enum refusal refusal;
        error = frame_decode_stream(bytes + offset, length - offset, &frame, &refusal);
        if (error < 0)
            break;
        offset += (size_t)error;
        channel_receive(channel, &frame);
    }
    channel->receiving = false;
    if (channel->closed)
        free(channel);
    else if (error < 0 && error != -EAGAIN)
        channel->handlers->on_broken(channel->ctx, channel, error);
    return offset;
}

static void channel_on_stream_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    struct channel *channel = ctx;
    channel->stream = NULL;
    channel->handlers->on_broken(channel->ctx, channel, error ? error : USHER_ECONNECTION);
}

static const struct stream_handlers channel_stream_handlers = {
    .on_bytes = channel_on_bytes,
    .on_closed = channel_on_stream_closed,
};

static int channel_open_udp(struct loop *loop, const struct address *bind, struct channel *channel)
{
    struct udp_config config;
    udp_config_init(&config);
    config.address = *bind;
    config.address.family = channel->dispatcher.family;
    config.connect = channel->dispatcher;
    config.receive_buffers = CHANNEL_RECEIVE_BUFFERS;
    config.send_packets = CHANNEL_SEND_PACKETS;
    config.send_bytes = CHANNEL_SEND_BYTES;
    config.on_datagram = channel_on_datagram;
    config.on_error = channel_on_udp_error;
    config.ctx = channel;
    return udp_open(loop, &config, &channel->udp);
}

static int channel_open_tcp(struct loop *loop, const struct address *bind, struct channel *channel)
{
    struct stream_config config;
    stream_config_init(&config);
    config.address = channel->dispatcher;
    config.bind = *bind;
    config.handlers = &channel_stream_handlers;
    config.ctx = channel;
    return stream_connect(loop, &config, &channel->stream);
}

int channel_open(struct loop *loop, enum frame_transport transport, const struct address *dispatcher, const struct address *bind,
                 const struct channel_handlers *handlers, void *ctx, struct channel **ret_channel)
{
    if (bind->family != ADDRESS_NONE && bind->family != dispatcher->family)
        return -EAFNOSUPPORT;
    struct channel *channel = malloc(sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    *channel = (struct channel){.transport = transport, .dispatcher = *dispatcher, .handlers = handlers, .ctx = ctx};
    int error = transport == FRAME_UDP ? channel_open_udp(loop, bind, channel) : channel_open_tcp(loop, bind, channel);
    if (error < 0) {
        free(channel);
        return error;
    }
    *ret_channel = channel;
    return 0;
}

void channel_close(struct channel *channel)
{
    if (channel->udp)
        udp_close(channel->udp);
    if (channel->stream) {
        stream_set_handlers(channel->stream, NULL, NULL);
        stream_abort(channel->stream);
    }
    channel->closed = true;
    if (!channel->receiving)
        free(channel);
}

int channel_send(struct channel *channel, const uint8_t *bytes, size_t length)
{
    if (channel->transport == FRAME_TCP)
        return channel->stream ? stream_send(channel->stream, bytes, length) : -EPIPE;
    return udp_send(channel->udp, &channel->dispatcher, bytes, (uint32_t)length);
}

const struct address *channel_dispatcher(const struct channel *channel)
{
    return &channel->dispatcher;
}

enum frame_transport channel_transport(const struct channel *channel)
{
    return channel->transport;
}
