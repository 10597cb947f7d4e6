#include "core/io/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/io/backend.h"
#include "core/io/socket.h"

#define UDP_RECEIVE_BUFFERS_MIN 8u
#define UDP_RECEIVE_BUFFERS_MAX 256u
#define UDP_RECEIVE_BUFFER_BYTES_MIN 64u
#define UDP_RECEIVE_BUFFER_BYTES_MAX 65536u
#define UDP_SEND_PACKETS_MAX 32768u
#define UDP_SEND_BYTES_MIN 65536u
#define UDP_SEND_BYTES_MAX (64u << 20)

/* A hundred datagrams, or one that GRO put together. */
#define UDP_BACKLOG_BYTES_MIN 65536u

/* What the kernel takes in one GSO send (UDP_MAX_SEGMENTS was 64 until 6.9). */
#define UDP_SEGMENTS_MAX 64u

void udp_config_init(struct udp_config *config)
{
    *config = (struct udp_config){
        .receive_buffers = 256,
        .receive_buffer_bytes = 2048,
        .send_packets = 512,
        .send_bytes = 131072,
    };
}

static bool udp_config_is_valid(const struct udp_config *config)
{
    uint32_t buffers = config->receive_buffers;
    return buffers >= UDP_RECEIVE_BUFFERS_MIN && buffers <= UDP_RECEIVE_BUFFERS_MAX && (buffers & (buffers - 1)) == 0 &&
           config->receive_buffer_bytes >= UDP_RECEIVE_BUFFER_BYTES_MIN &&
           config->receive_buffer_bytes <= UDP_RECEIVE_BUFFER_BYTES_MAX && config->send_packets >= 1 &&
           config->send_packets <= UDP_SEND_PACKETS_MAX && config->send_bytes >= UDP_SEND_BYTES_MIN &&
           config->send_bytes <= UDP_SEND_BYTES_MAX && (config->age_ns_max == 0 || config->socket_receive_bytes > 0) &&
           config->address.family != ADDRESS_NONE && config->on_datagram != NULL;
}

static void udp_free(struct udp *udp)
{
    free(udp->send_bytes);
    free(udp->packets);
    free(udp);
}

static void udp_report_error(struct udp *udp, int error)
{
    if (udp->on_datagram != NULL && udp->config.on_error != NULL && udp->config.connect.family != ADDRESS_NONE)
        udp->config.on_error(udp->ctx, udp, error);
}

static void udp_on_error_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct udp *udp = ctx;
    udp_report_error(udp, udp->send_error);
}

int udp_open(struct loop *loop, const struct udp_config *config, struct udp **ret_udp)
{
    if (!udp_config_is_valid(config))
        return -EINVAL;
    struct udp *udp = calloc(1, sizeof(*udp));
    if (udp == NULL)
        return -ENOMEM;
    udp->send_bytes = malloc(config->send_bytes);
    udp->packets = calloc(config->send_packets, sizeof(*udp->packets));
    int error = udp->send_bytes != NULL && udp->packets != NULL ? handle_init(&udp->handle, loop, HANDLE_UDP) : -ENOMEM;
    if (error < 0) {
        udp_free(udp);
        return error;
    }
    udp->on_datagram = config->on_datagram;
    udp->ctx = config->ctx;
    udp->config = *config;
    udp->segmenting = config->segmentation;
    udp->wildcard = socket_tells_local(config);
    backlog_init(&udp->backlog, UDP_BACKLOG_BYTES_MIN, config->socket_receive_bytes, config->age_ns_max);
    list_init(&udp->dirty_link);
    list_init(&udp->ready_link);
    timer_init(&udp->error_timer, udp_on_error_timer, udp);
    error = loop->backend->udp_open(loop, udp);
    if (error < 0) {
        handle_done(&udp->handle);
        udp_free(udp);
        return error;
    }
    *ret_udp = udp;
    return 0;
}

void udp_close(struct udp *udp)
{
    struct loop *loop = udp->handle.loop;
    if (udp->packet_count > 0)
        loop->backend->udp_flush(loop, udp);
    udp->on_datagram = NULL;
    timer_stop(&udp->error_timer);
    handle_end(&udp->handle, false);
}

void udp_finish(struct udp *udp)
{
    struct loop *loop = udp->handle.loop;
    list_remove(&udp->dirty_link);
    list_remove(&udp->ready_link);
    timer_stop(&udp->error_timer);
    loop->backend->release(loop, &udp->handle);
    handle_done(&udp->handle);
    udp_free(udp);
}

const struct address *udp_local_address(const struct udp *udp)
{
    return &udp->local;
}

/* Ages need the wall clock, which the kernel stamps with; to the millisecond will do. */
static void udp_batch_begin(struct udp *udp)
{
    struct loop *loop = udp->handle.loop;
    if (backlog_on_batch(&udp->backlog, udp->batch_ns, udp->batch_count, udp->batch_age_ns_min) &&
        loop->backend->udp_tune != NULL)
        loop->backend->udp_tune(udp);
    udp->batch_ns = loop->now_ns;
    udp->batch_wall_ns = udp->backlog.stamping ? loop->backend->wall_ms(loop) * NS_PER_MS : 0;
    udp->batch_age_ns_min = UINT64_MAX;
    udp->batch_count = 0;
}

/* A wall clock that is set back makes what is under way new; one that is set forward makes it old, and it is dropped as such. */
__attribute__((noinline, cold)) static void udp_datagram_age(struct udp *udp, uint64_t wall_ns)
{
    uint64_t age_ns = udp->batch_wall_ns > wall_ns && wall_ns > 0 ? udp->batch_wall_ns - wall_ns : 0;
    if (age_ns < udp->batch_age_ns_min)
        udp->batch_age_ns_min = age_ns;
    udp->arrived_ns = udp->batch_ns > age_ns ? udp->batch_ns - age_ns : 0;
}

static inline void udp_deliver(struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length)
{
    LOOP_COUNT(udp->handle.loop, datagrams_received, 1);
    if (UNLIKELY(length == 0))
        LOOP_COUNT(udp->handle.loop, datagrams_empty, 1);
    udp->on_datagram(udp->ctx, udp, peer, bytes, length);
}

static void udp_deliver_joined(struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length,
                               uint32_t segment_bytes)
{
    LOOP_COUNT(udp->handle.loop, datagrams_received, (length + segment_bytes - 1) / segment_bytes);
    udp->config.on_joined(udp->ctx, udp, peer, bytes, length, segment_bytes);
}

static void udp_deliver_segments(struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length,
                                 uint32_t segment_bytes)
{
    for (uint32_t offset = 0; offset < length && udp->on_datagram != NULL; offset += segment_bytes) {
        uint32_t rest = length - offset;
        udp_deliver(udp, peer, bytes + offset, rest < segment_bytes ? rest : segment_bytes);
    }
}

/* A machine has few addresses, and the same one is asked again and again. */
__attribute__((noinline)) static uint32_t udp_via_find(struct udp *udp, const struct address *local)
{
    if (local->family == ADDRESS_NONE)
        return 0;
    for (uint32_t i = 0; i < udp->via_count; i++) {
        if (address_equal(&udp->vias[i], local))
            return i + 1;
    }
    if (udp->via_count == UDP_VIAS_MAX)
        return 0;
    udp->vias[udp->via_count] = *local;
    return ++udp->via_count;
}

void udp_event_datagram(struct udp *udp, const struct sockaddr *name, uint8_t *bytes, uint32_t length,
                        const struct udp_received *received)
{
    struct address peer;
    if (UNLIKELY(udp->on_datagram == NULL || address_from_socket(name, &peer) < 0))
        return;
    if (UNLIKELY(udp->batch_ns != udp->handle.loop->now_ns))
        udp_batch_begin(udp);
    udp->batch_count++;
    udp->arrived_ns = udp->batch_ns;
    if (UNLIKELY(udp->batch_wall_ns > 0))
        udp_datagram_age(udp, received->wall_ns);
    if (UNLIKELY(udp->wildcard))
        udp->via = udp_via_find(udp, &received->local);
    udp->answering = &peer;
    if (received->segment_bytes > 0 && udp->config.on_joined != NULL)
        udp_deliver_joined(udp, &peer, bytes, length, received->segment_bytes);
    else if (received->segment_bytes > 0)
        udp_deliver_segments(udp, &peer, bytes, length, received->segment_bytes);
    else
        udp_deliver(udp, &peer, bytes, length);
    udp->answering = NULL;
}

uint32_t udp_datagram_via(const struct udp *udp)
{
    return udp->via;
}

uint64_t udp_arrived_ns(const struct udp *udp)
{
    return udp->arrived_ns;
}

/* The pool is full: what is queued leaves now. */
__attribute__((noinline, cold)) static int udp_send_make_room(struct udp *udp, uint32_t capacity)
{
    struct loop *loop = udp->handle.loop;
    if (udp->on_datagram == NULL)
        return -EPIPE;
    if (udp->packet_count > 0)
        loop->backend->udp_flush(loop, udp);
    if (udp->packet_count < udp->config.send_packets && udp->config.send_bytes - udp->send_used >= capacity)
        return 0;
    LOOP_COUNT(loop, datagram_send_drops, 1);
    return -ENOBUFS;
}

int udp_send_begin(struct udp *udp, uint32_t capacity, uint8_t **ret_bytes)
{
    if (UNLIKELY(udp->packet_count == udp->config.send_packets || udp->config.send_bytes - udp->send_used < capacity ||
                 udp->on_datagram == NULL)) {
        int error = udp_send_make_room(udp, capacity);
        if (error < 0)
            return error;
    }
    *ret_bytes = udp->send_bytes + udp->send_used;
    return 0;
}

/* Answers to one peer that follow each other and have one length leave as one GSO send: they lie behind each other already. A shorter
 * one can only be the last. */
static inline bool udp_joins_last_packet(struct udp *udp, const struct address *peer, uint32_t via, uint32_t length)
{
    if (length > udp->last_room || udp->packet_count == 0 || length == 0)
        return false;
    struct udp_packet *last = &udp->packets[udp->packet_count - 1];
    if (length > last->segment_bytes || last->via != via || !address_equal(&udp->last_peer, peer))
        return false;
    udp->last_room = length == last->segment_bytes ? udp->last_room - length : 0;
    last->length += length;
    return true;
}

static void udp_join_from(struct udp *udp, const struct address *peer, uint32_t length)
{
    uint32_t most = length * UDP_SEGMENTS_MAX;
    udp->last_peer = *peer;
    udp->last_room = (most < UDP_PAYLOAD_BYTES_MAX ? most : UDP_PAYLOAD_BYTES_MAX) - length;
}

void udp_send_commit(struct udp *udp, const struct address *peer, uint32_t length)
{
    udp_send_commit_via(udp, peer, 0, length);
}

void udp_send_commit_via(struct udp *udp, const struct address *peer, uint32_t via, uint32_t length)
{
    DEBUG_CHECK(udp->packet_count < udp->config.send_packets && length <= udp->config.send_bytes - udp->send_used);
    if (UNLIKELY(peer->family == ADDRESS_NONE || (peer->family == ADDRESS_IPV6 && udp->local.family == ADDRESS_IPV4))) {
        LOOP_COUNT(udp->handle.loop, datagram_send_drops, 1);
        return;
    }
    if (udp->segmenting) {
        if (udp_joins_last_packet(udp, peer, via, length)) {
            udp->send_used += length;
            return;
        }
        udp_join_from(udp, peer, length);
    }
    struct udp_packet *packet = &udp->packets[udp->packet_count];
    packet->name_bytes = socket_name_set(&packet->name, udp->local.family, peer);
    packet->offset = udp->send_used;
    packet->length = length;
    packet->segment_bytes = length > 0 ? length : 1;
    packet->via = via;
    udp->send_used += length;
    if (udp->packet_count++ == 0)
        list_append(&udp->handle.loop->udp_dirty, &udp->dirty_link);
}

int udp_send(struct udp *udp, const struct address *peer, const uint8_t *bytes, uint32_t length)
{
    if (length > UDP_PAYLOAD_BYTES_MAX)
        return -EMSGSIZE;
    uint8_t *slot;
    int error = udp_send_begin(udp, length, &slot);
    if (error < 0)
        return error;
    if (length > 0)
        memcpy(slot, bytes, length);
    bool answers = udp->answering != NULL && address_equal(udp->answering, peer);
    udp_send_commit_via(udp, peer, answers ? udp->via : 0, length);
    return 0;
}

void udp_packets_reset(struct udp *udp)
{
    udp->packet_count = 0;
    udp->send_used = 0;
    list_remove(&udp->dirty_link);
}

void udp_event_receive_failed(struct udp *udp, int error)
{
    LOOP_COUNT(udp->handle.loop, datagram_receive_errors, 1);
    udp_report_error(udp, error);
}

/* Not for want of room, which passes. */
static bool udp_is_peers_error(int error)
{
    return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH || error == -EHOSTDOWN ||
           error == -ENETDOWN || error == -EPERM || error == -EACCES;
}

void udp_event_send_failed(struct udp *udp, uint32_t packet_count, int error)
{
    LOOP_COUNT(udp->handle.loop, datagram_send_drops, packet_count);
    if (udp->config.connect.family != ADDRESS_NONE && udp->on_datagram != NULL && udp_is_peers_error(error)) {
        udp->send_error = error;
        timer_start(udp->handle.loop, &udp->error_timer, 0);
    }
    /* A device that can't do it, or a segment longer than its MTU: from now on one datagram at a time. */
    if (udp->segmenting && (error == -EIO || error == -EINVAL || error == -EMSGSIZE))
        udp->segmenting = false;
}
