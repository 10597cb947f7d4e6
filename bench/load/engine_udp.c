/* Datagrams: each connection is a connected socket of its own, so that the kernel tells what ICMP says. */
#include <errno.h>
#include <string.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

#define UDP_RECEIVES_MAX 8 /* batches from one socket until the others have their turn */

static void udp_write_batch(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count)
{
    uint32_t pack = engine->config->pack, datagram_bytes = engine->request_bytes * pack;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *bytes = engine->scratch + (size_t)i * datagram_bytes;
        for (uint32_t j = 0; j < pack; j++)
            request_write(engine, connection, planned_ns[i], bytes + (size_t)j * engine->request_bytes);
        engine->vectors[i] = (struct iovec){.iov_base = bytes, .iov_len = datagram_bytes};
        engine->messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &engine->vectors[i], .msg_iovlen = 1}};
    }
}

/* sendmmsg until the kernel has no room. An error that belongs to an earlier datagram is reported by the send after it, which must
 * then be repeated: once, for a closed port answers each. */
static uint32_t udp_send_batch(struct engine *engine, uint32_t connection, uint32_t count)
{
    int fd = engine->connections[connection].fd;
    uint32_t sent = 0;
    bool repeated = false;
    while (sent < count) {
        int result = sendmmsg(fd, engine->messages + sent, count - sent, MSG_DONTWAIT);
        if (result > 0) {
            sent += (uint32_t)result;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != ENOBUFS) {
            tally_error(engine->tally, error_name(-errno));
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
    uint32_t pack = engine->config->pack;
    udp_write_batch(engine, connection, planned_ns, count);
    uint32_t sent = udp_send_batch(engine, connection, count);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < pack; j++) {
            if (i < sent)
                tally_sent(engine->tally, planned_ns[i], engine->now_ns);
            else
                request_revoke(engine, engine->scratch + ((size_t)i * pack + j) * engine->request_bytes);
        }
    return sent;
}

static void udp_take_datagram(struct engine *engine, uint32_t connection, const uint8_t *bytes, uint32_t length)
{
    struct frame frame;
    enum refusal refusal;
    for (uint32_t used = 0; used < length; used += frame.length) {
        int result = frame_decode_datagram(bytes + used, length - used, &frame, &refusal);
        if (UNLIKELY(result < 0)) {
            tally_error(engine->tally, error_name(result));
            return;
        }
        reply_take(engine, connection, &frame);
    }
}

void engine_udp_receive(struct engine *engine, uint32_t connection)
{
    int fd = engine->connections[connection].fd;
    for (int i = 0; i < UDP_RECEIVES_MAX; i++) {
        for (uint32_t j = 0; j < ENGINE_BATCH; j++) {
            engine->vectors[j] = (struct iovec){.iov_base = engine->scratch + (size_t)j * 2 * DATAGRAM_BYTES_MAX,
                                                .iov_len = 2 * DATAGRAM_BYTES_MAX};
            engine->messages[j] = (struct mmsghdr){.msg_hdr = {.msg_iov = &engine->vectors[j], .msg_iovlen = 1}};
        }
        int got = recvmmsg(fd, engine->messages, ENGINE_BATCH, MSG_DONTWAIT, NULL);
        engine->now_ns = clock_monotonic_ns();
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return;
            tally_error(engine->tally, error_name(-errno)); /* what ICMP said; it ends with this call */
            continue;
        }
        for (int j = 0; j < got; j++)
            udp_take_datagram(engine, connection, engine->scratch + (size_t)j * 2 * DATAGRAM_BYTES_MAX,
                              engine->messages[j].msg_len);
        if (got < ENGINE_BATCH)
            return;
    }
}
