#include "core/node/announcement.h"

#include <stdio.h>

#include "core/base/check.h"
#include "core/base/errors.h"
#include "core/wire/error.h"

#define TEXT_BYTES 320

int announcement_sockets_open(struct announcement_sockets *sockets, enum address_family family)
{
    struct udp **udp = family == ADDRESS_IPV4 ? &sockets->ipv4 : &sockets->ipv6;
    struct udp_config config;
    if (*udp != NULL)
        return 0;
    udp_config_init(&config);
    config.address = (struct address){.family = (uint8_t)family};
    if (sockets->bind_ip.family == family)
        config.address = sockets->bind_ip;
    config.address.port = 0;
    config.receive_buffers = 64; /* an answer for each rm, some times over */
    config.send_packets = 64;
    config.send_bytes = 65536;
    config.on_datagram = sockets->on_answer;
    config.ctx = sockets->ctx;
    return udp_open(sockets->loop, &config, udp);
}

void announcement_sockets_close(struct announcement_sockets *sockets)
{
    if (sockets->ipv4 != NULL)
        udp_close(sockets->ipv4);
    if (sockets->ipv6 != NULL)
        udp_close(sockets->ipv6);
    sockets->ipv4 = sockets->ipv6 = NULL;
}

static void change_tell(struct announcement *announcement, uint32_t rm_index, const char *text)
{
    if (announcement->events->on_change != NULL)
        announcement->events->on_change(announcement->ctx, rm_index, text);
}

/* No room in the send pool: counted by the loop, and the next one is not far. */
static bool send_datagram(struct announcement *announcement, uint32_t rm_index, const uint8_t *bytes, int length)
{
    const struct address *rm = &announcement->heartbeats.rms[rm_index].address;
    CHECK(length > 0); /* all limits were checked at start */
    return udp_send(announcement_socket(announcement->sockets, rm->family), rm, bytes, (uint32_t)length) == 0;
}

static bool send_register(struct announcement *announcement, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct rm_http *http = announcement->https[rm_index];
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_register registration = {
        .node = announcement->node,
        .trailer = {.boot_id = announcement->boot_id, .sequence = sequence},
    };
    announcement->events->fill_register(announcement->ctx, &registration);
    if (http != NULL)
        return rm_http_register(http, &registration);
    return send_datagram(
        announcement, rm_index, bytes,
        wire_register_encode(&registration, announcement->request_base | sequence, padded_length, bytes, sizeof(bytes)));
}

static bool send_heartbeat(struct announcement *announcement, uint32_t rm_index, uint64_t sequence, uint32_t padded_length)
{
    struct rm_http *http = announcement->https[rm_index];
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    struct wire_heartbeat heartbeat = {
        .node = announcement->node,
        .timestamp_ms = loop_wall_ms(announcement->loop),
        .admin = announcement->heartbeats.admin,
        .trailer = {.boot_id = announcement->boot_id, .sequence = sequence},
    };
    announcement->events->fill_heartbeat(announcement->ctx, &heartbeat);
    if (http != NULL)
        return rm_http_beat(http, &heartbeat);
    return send_datagram(
        announcement, rm_index, bytes,
        wire_heartbeat_encode(&heartbeat, announcement->request_base | sequence, padded_length, bytes, sizeof(bytes)));
}

static void send_to(struct announcement *announcement, uint32_t rm_index)
{
    uint64_t sequence = 0;
    uint32_t padded_length = 0;
    bool changed;
    if (announcement->events->on_turn != NULL)
        announcement->events->on_turn(announcement->ctx, rm_index);
    /* Samples that were taken in this batch have cost time. */
    enum heartbeat_message message = heartbeats_take(&announcement->heartbeats, rm_index, loop_now_refresh(announcement->loop),
                                                     &sequence, &padded_length, &changed);
    const struct rm_http *http = announcement->https[rm_index];
    if (changed)
        change_tell(announcement, rm_index, http != NULL ? rm_http_failure(http) : "");
    if (message == HEARTBEAT_REGISTER && send_register(announcement, rm_index, sequence, padded_length))
        counter_add(announcement->counters, COUNTER_REGISTERS_SENT, 1);
    else if (message == HEARTBEAT_BEAT && send_heartbeat(announcement, rm_index, sequence, padded_length))
        counter_add(announcement->counters, COUNTER_HEARTBEATS_SENT, 1);
}

static void timer_set(struct announcement *announcement)
{
    timer_start(announcement->loop, &announcement->timer, heartbeats_due_ns(&announcement->heartbeats));
}

void announcement_send(struct announcement *announcement)
{
    for (uint32_t i = 0; i < announcement->heartbeats.rm_count; i++)
        if (announcement->https[i] != NULL)
            send_to(announcement, i);
    for (uint32_t i = 0; i < announcement->heartbeats.rm_count; i++)
        if (announcement->https[i] == NULL)
            send_to(announcement, i);
    timer_set(announcement);
}

static void on_time(void *ctx, struct timer *timer)
{
    struct announcement *announcement = ctx;
    (void)timer;
    announcement_send(announcement);
    announcement->events->on_look(announcement->ctx);
}

/* Something was heard: what is due now may have changed. */
static void heard(struct announcement *announcement)
{
    timer_set(announcement);
    announcement->events->on_look(announcement->ctx);
}

static void take_ack(struct announcement *announcement, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    const struct heartbeats *heartbeats = &announcement->heartbeats;
    char text[TEXT_BYTES] = "";
    bool changed;
    if (heartbeats_on_ack(&announcement->heartbeats, rm_index, ack, loop_now_ns(announcement->loop), &changed) < 0) {
        counter_add(announcement->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    counter_add(announcement->counters, COUNTER_HEARTBEAT_ACKS, 1);
    if (announcement->events->on_ack != NULL)
        announcement->events->on_ack(announcement->ctx, rm_index, ack);
    if (heartbeats->rms[rm_index].state == HEARTBEAT_REFUSED)
        snprintf(text, sizeof(text), "it serves region %u, but this node was started with --region %u", ack->region,
                 heartbeats->region);
    if (changed)
        change_tell(announcement, rm_index, text);
}

static void take_error(struct announcement *announcement, uint32_t rm_index, uint64_t sequence, const char *text)
{
    bool changed;
    if (heartbeats_on_error(&announcement->heartbeats, rm_index, sequence, loop_now_ns(announcement->loop), &changed) < 0) {
        counter_add(announcement->counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        return;
    }
    counter_add(announcement->counters, COUNTER_HEARTBEATS_REFUSED, 1);
    if (changed)
        announcement->events->on_error(announcement->ctx, rm_index, text);
}

static void on_http_ack(void *ctx, uint32_t rm_index, const struct wire_heartbeat_ack *ack)
{
    take_ack(ctx, rm_index, ack);
    heard(ctx);
}

static void on_http_error(void *ctx, uint32_t rm_index, uint64_t sequence, const char *text)
{
    take_error(ctx, rm_index, sequence, text);
    heard(ctx);
}

static void read_ack(struct announcement *announcement, uint32_t rm_index, const struct frame *frame)
{
    struct wire_heartbeat_ack ack;
    enum refusal refusal;
    if (wire_heartbeat_ack_decode(frame, &ack, &refusal) < 0)
        counter_add(announcement->counters, refusal_counter(refusal), 1);
    else
        take_ack(announcement, rm_index, &ack);
}

static void read_error(struct announcement *announcement, uint32_t rm_index, const struct frame *frame)
{
    struct wire_error error;
    enum refusal refusal;
    char text[TEXT_BYTES];
    if (wire_error_decode(frame, &error, &refusal) < 0) {
        counter_add(announcement->counters, refusal_counter(refusal), 1);
        return;
    }
    int code = wire_error_to_error(error.code);
    snprintf(text, sizeof(text), "it answered %s: %s", error_name(code), error.text_length > 0 ? error.text : error_text(code));
    take_error(announcement, rm_index, frame->request_id ^ announcement->request_base, text);
}

static void read_frame(struct announcement *announcement, uint32_t rm_index, const struct frame *frame)
{
    if (frame->type == FRAME_TYPE_HEARTBEAT_ACK)
        read_ack(announcement, rm_index, frame);
    else if (frame->type == FRAME_TYPE_ERROR)
        read_error(announcement, rm_index, frame);
    else
        counter_add(announcement->counters, COUNTER_FRAMES_UNWANTED, 1);
    heard(announcement);
}

void announcement_read(struct counters *counters, const struct address *peer, const uint8_t *bytes, uint32_t length,
                       struct announcement *(*find)(void *ctx, uint64_t request_id), void *ctx)
{
    for (uint32_t at = 0; at < length;) {
        struct frame frame;
        enum refusal refusal;
        int r = frame_decode_datagram(bytes + at, length - at, &frame, &refusal);
        if (r < 0) {
            counter_add(counters, refusal_counter(refusal), 1);
            return;
        }
        at += (uint32_t)r;
        struct announcement *announcement = find(ctx, frame.request_id);
        uint32_t rm_index = announcement != NULL ? heartbeats_find(&announcement->heartbeats, peer) : HEARTBEAT_RMS_MAX;
        if (rm_index == HEARTBEAT_RMS_MAX || announcement->https[rm_index] != NULL)
            counter_add(counters, COUNTER_HEARTBEAT_ACKS_IGNORED, 1);
        else
            read_frame(announcement, rm_index, &frame);
    }
}

int announcement_open(struct announcement *announcement, const struct address *rms, uint32_t rm_count, uint64_t http)
{
    struct rm_http_config config = {
        .loop = announcement->loop,
        .node = announcement->node,
        .on_ack = on_http_ack,
        .on_error = on_http_error,
        .ctx = announcement,
    };
    timer_init(&announcement->timer, on_time, announcement);
    int r = rm_http_open(&config, rms, rm_count, http, announcement->https);
    for (uint32_t i = 0; i < rm_count && r == 0; i++)
        r = announcement->https[i] == NULL ? announcement_sockets_open(announcement->sockets, rms[i].family) : 0;
    return r;
}

void announcement_close(struct announcement *announcement)
{
    timer_stop(&announcement->timer);
    rm_http_close(announcement->https);
}
