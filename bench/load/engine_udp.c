/* Datagrams: each connection is a connected socket of its own, so that the kernel tells what ICMP says. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define UDP_RECEIVES_MAX 8 /* from one socket until the others have their turn */

void engine_udp_prepare(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->units_batch; i++) {
        engine->out_bytes[i] =
            (struct iovec){.iov_base = engine->requests + (size_t)i * engine->unit_bytes, .iov_len = engine->unit_bytes};
        engine->out[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &engine->out_bytes[i], .msg_iovlen = 1}};
    }
    bool gso = engine->config->gso;
    uint32_t stride = gso ? ENGINE_SUPER_BYTES : ENGINE_DATAGRAM_BYTES;
    engine->in_count = gso ? ENGINE_SUPERS : ENGINE_BATCH;
    for (uint32_t i = 0; i < engine->in_count; i++) {
        engine->in_bytes[i] = (struct iovec){.iov_base = engine->received + (size_t)i * stride, .iov_len = stride};
        engine->in[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &engine->in_bytes[i], .msg_iovlen = 1}};
        if (gso)
            engine->in[i].msg_hdr.msg_control = engine->in_control[i];
    }
}

/* A single one has a cheaper call. */
static int udp_send_some(struct engine *engine, int fd, uint32_t first, uint32_t count)
{
    if (count == 1)
        return send(fd, engine->out_bytes[first].iov_base, engine->unit_bytes, MSG_DONTWAIT) < 0 ? -1 : 1;
    return sendmmsg(fd, engine->out + first, count, MSG_DONTWAIT);
}

/* Until the kernel has no room. An error that belongs to an earlier datagram is reported by the send after it, which must
 * then be repeated: once, for a closed port answers each. */
static uint32_t udp_send_batch(struct engine *engine, uint32_t connection, uint32_t count)
{
    int fd = engine->connections[connection].fd;
    uint32_t sent = 0;
    bool repeated = false;
    while (sent < count) {
        int result = udp_send_some(engine, fd, sent, count - sent);
        if (result > 0) {
            sent += (uint32_t)result;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != ENOBUFS) {
            connection_note(engine, connection, -errno);
            if (!repeated) {
                repeated = true;
                continue;
            }
        }
        engine->refused = true;
        break;
    }
    return sent;
}

uint32_t engine_udp_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count)
{
    uint32_t group = engine->unit_requests;
    for (uint32_t i = 0; i < count; i++)
        requests_open(engine, connection, planned_ns[i], i * group, group);
    uint32_t sent = udp_send_batch(engine, connection, count);
    for (uint32_t i = 0; i < sent; i++)
        tally_sent(&engine->tally, planned_ns[i], engine->now_ns, group);
    if (UNLIKELY(sent < count))
        requests_revoke(engine, connection, sent * group, (count - sent) * group);
    return sent;
}

/* Of the datagrams that the kernel has put together; 0: it is one. */
static size_t udp_segment_bytes(const struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
         control = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, control)) {
        int bytes;
        if (control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO)
            continue;
        memcpy(&bytes, CMSG_DATA(control), sizeof(bytes));
        return bytes > 0 ? (size_t)bytes : 0;
    }
    return 0;
}

static void udp_take_super(struct engine *engine, uint32_t connection, const struct mmsghdr *message)
{
    const uint8_t *bytes = message->msg_hdr.msg_iov->iov_base;
    size_t length = message->msg_len, segment = udp_segment_bytes(&message->msg_hdr);
    if (segment == 0)
        segment = length;
    for (size_t at = 0; at < length; at += segment)
        engine->protocol->take_datagram(engine, connection, bytes + at, length - at < segment ? length - at : segment);
}

static int udp_receive_supers(struct engine *engine, uint32_t connection)
{
    for (uint32_t i = 0; i < ENGINE_SUPERS; i++) /* the last call has changed these */
        engine->in[i].msg_hdr.msg_controllen = ENGINE_CONTROL_BYTES;
    int got = recvmmsg(engine->connections[connection].fd, engine->in, engine->in_count, MSG_DONTWAIT, NULL);
    engine->now_ns = clock_monotonic_ns();
    for (int i = 0; i < got; i++)
        udp_take_super(engine, connection, &engine->in[i]);
    return got;
}

static int udp_receive_batch(struct engine *engine, uint32_t connection)
{
    int got = recvmmsg(engine->connections[connection].fd, engine->in, engine->in_count, MSG_DONTWAIT, NULL);
    engine->now_ns = clock_monotonic_ns();
    for (int i = 0; i < got; i++)
        engine->protocol->take_datagram(engine, connection, engine->in_bytes[i].iov_base, engine->in[i].msg_len);
    return got;
}

static int udp_receive_one(struct engine *engine, uint32_t connection)
{
    ssize_t got = recv(engine->connections[connection].fd, engine->received, ENGINE_DATAGRAM_BYTES, MSG_DONTWAIT);
    engine->now_ns = clock_monotonic_ns();
    if (got < 0)
        return -1;
    engine->protocol->take_datagram(engine, connection, engine->received, (size_t)got);
    return 1;
}

bool engine_udp_receive(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    bool any = false;
    for (int i = 0; i < UDP_RECEIVES_MAX; i++) {
        bool single = connection->outstanding <= engine->config->pack && !engine->config->gso;
        int got = engine->config->gso ? udp_receive_supers(engine, index)
                  : single            ? udp_receive_one(engine, index)
                                      : udp_receive_batch(engine, index);
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return any;
            connection_note(engine, index, -errno); /* what ICMP said; it ends with this call */
            continue;
        }
        any = true;
        replies_finish(engine, index);
        if (got < (int)engine->in_count || connection->outstanding == 0)
            return true;
    }
    return any;
}
