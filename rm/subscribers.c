#include "rm/subscribers.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/id_text.h"
#include "core/base/log.h"
#include "core/io/stream.h"
#include "core/io/timer.h"
#include "core/wire/error.h"
#include "core/wire/region_frame.h"
#include "rm/feed.h"

/* A dispatcher asks every --refresh, which is a minute at most; one that has said nothing for so long is gone. */
#define IDLE_NS_MAX (120 * NS_PER_S)

/* How often to look for those that are gone or never finish a frame, in parts of the time that a frame may take. */
#define LOOKS_PER_PATIENCE 5

struct subscriber {
    struct subscribers *owner;
    struct subscriber *previous;
    struct subscriber *next;
    struct stream *stream;
    struct feed feed;
    uint64_t heard_ns;
    uint64_t partial_ns; /* when the frame that is still coming began to; 0: none */
    uint32_t regions_version;
    bool has_list; /* of another rm, or of an earlier run of ours */
};

struct subscribers {
    struct subscribers_config config;
    struct listener *listener;
    struct subscriber *first;
    uint32_t count;
    bool released;
    struct timer push_timer;
    struct timer look_timer;
    struct buffer regions_frame;
    uint32_t regions_version;
    uint8_t frame[DIRECTORY_PART_BYTES_MAX];
};

static uint64_t now_ns(const struct subscribers *subscribers)
{
    return loop_now_ns(subscribers->config.loop);
}

static bool subscriber_is_held(const struct subscriber *subscriber)
{
    const struct subscribers *subscribers = subscriber->owner;
    if (!subscribers->released)
        return true;
    return subscriber->has_list && !cluster_is_complete(subscribers->config.cluster, now_ns(subscribers));
}

static void regions_send(struct subscriber *subscriber)
{
    const struct subscribers *subscribers = subscriber->owner;
    if (subscribers->regions_version == 0 || subscriber->regions_version == subscribers->regions_version)
        return;
    if (stream_send(subscriber->stream, subscribers->regions_frame.bytes, subscribers->regions_frame.length) == 0)
        subscriber->regions_version = subscribers->regions_version;
}

/* Sends until the stream is full or there is nothing to send. A frame that was made must go out, since the feed counts it as
 * told: if memory runs out the connection ends, and the subscriber comes again with what it has. */
static void subscriber_pump(struct subscriber *subscriber)
{
    struct subscribers *subscribers = subscriber->owner;
    struct stream_limits limits;
    stream_limits_init(&limits);
    if (!subscriber->feed.subscribed || subscriber_is_held(subscriber))
        return;
    if (stream_pending_bytes(subscriber->stream) < limits.high_bytes)
        regions_send(subscriber);
    while (stream_pending_bytes(subscriber->stream) < limits.high_bytes) {
        uint32_t length = feed_next(&subscriber->feed, subscribers->config.cluster, now_ns(subscribers), subscribers->frame);
        if (length == 0)
            return;
        if (stream_send(subscriber->stream, subscribers->frame, length) < 0) {
            stream_abort(subscriber->stream);
            return;
        }
        counter_add(subscribers->config.counters, COUNTER_DIRECTORY_FRAMES, 1);
        counter_add(subscribers->config.counters, COUNTER_DIRECTORY_BYTES, length);
    }
}

static void pump_all(struct subscribers *subscribers)
{
    for (struct subscriber *subscriber = subscribers->first; subscriber; subscriber = subscriber->next)
        subscriber_pump(subscriber);
}

static void on_push(void *ctx, struct timer *timer)
{
    struct subscribers *subscribers = ctx;
    uint64_t complete_ns = cluster_complete_ns(subscribers->config.cluster, now_ns(subscribers));
    pump_all(subscribers);
    if (complete_ns != 0)
        timer_start(subscribers->config.loop, timer, complete_ns);
}

void subscribers_notify(struct subscribers *subscribers)
{
    uint64_t at_ns = now_ns(subscribers) + SUBSCRIBERS_PUSH_NS;
    if (subscribers->count == 0)
        return;
    if (!timer_is_running(&subscribers->push_timer) || subscribers->push_timer.at_ns > at_ns)
        timer_start(subscribers->config.loop, &subscribers->push_timer, at_ns);
}

void subscribers_release(struct subscribers *subscribers)
{
    subscribers->released = true;
    on_push(subscribers, &subscribers->push_timer);
}

static void answer_error(struct subscriber *subscriber, enum wire_error_code code, uint64_t request_id)
{
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    int length = wire_error_encode(code, false, false, NULL, request_id, bytes, sizeof(bytes));
    CHECK(length > 0);
    if (stream_send(subscriber->stream, bytes, (size_t)length) < 0)
        stream_abort(subscriber->stream);
}

static void refusal_count(struct subscriber *subscriber, enum refusal refusal)
{
    counter_add(subscriber->owner->config.counters, refusal_counter(refusal), 1);
}

static void subscribe_take(struct subscriber *subscriber, const struct frame *frame)
{
    struct subscribers *subscribers = subscriber->owner;
    struct wire_subscribe subscribe;
    enum refusal refusal;
    char peer[ADDRESS_TEXT_BYTES];
    if (wire_subscribe_decode(frame, &subscribe, &refusal) < 0) {
        refusal_count(subscriber, refusal);
        answer_error(subscriber, WIRE_ERROR_MALFORMED, frame->request_id);
        return;
    }
    if (subscribe.region != subscribers->config.region) {
        if (subscriber->heard_ns == 0)
            LOG(MESSAGE_RM_WRONG_REGION, LOG_TEXT("dispatcher", address_format(&subscribe.subscriber, peer)),
                LOG_NUMBER("its_region", subscribe.region), LOG_NUMBER("our_region", subscribers->config.region));
        answer_error(subscriber, WIRE_ERROR_WRONG_REGION, frame->request_id);
        subscriber->heard_ns = now_ns(subscribers);
        return;
    }
    if (!subscriber->feed.subscribed) {
        bool ours = subscribe.have.rm_id == subscribers->config.rm_id && subscribe.have.epoch == subscribers->config.epoch;
        subscriber->has_list = subscribe.have.rm_id != 0 && !ours;
        subscriber->regions_version = subscribe.regions_version;
        LOG(MESSAGE_RM_SUBSCRIBED, LOG_TEXT("dispatcher", address_format(&subscribe.subscriber, peer)));
    }
    subscriber->heard_ns = now_ns(subscribers);
    /* With nothing to tell it is quiet, but it may not make room for connections that never said anything. */
    stream_set_busy(subscriber->stream, true);
    feed_subscribe(&subscriber->feed, &subscribe, frame->request_id, subscriber->heard_ns);
    subscriber_pump(subscriber);
}

static void frame_take(struct subscriber *subscriber, const struct frame *frame)
{
    if (frame_is_reply(frame->type))
        return;
    if (frame->type == FRAME_TYPE_SUBSCRIBE) {
        subscribe_take(subscriber, frame);
        return;
    }
    if (frame->type == FRAME_TYPE_ADDRESS_REQUEST || frame->type == FRAME_TYPE_LOCATION_REQUEST || frame->type == FRAME_TYPE_JOB)
        answer_error(subscriber, WIRE_ERROR_NOT_ACCEPTED_HERE, frame->request_id);
    else
        refusal_count(subscriber, REFUSAL_UNKNOWN_TYPE);
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct subscriber *subscriber = ctx;
    size_t taken = 0;
    uint64_t request_id;
    uint32_t limit;
    uint64_t partial_ns = subscriber->partial_ns;
    subscriber->partial_ns = 0;
    while (taken < length) {
        struct frame frame;
        enum refusal refusal;
        int frame_length = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (frame_length == -EAGAIN) {
            subscriber->partial_ns = taken == 0 && partial_ns ? partial_ns : now_ns(subscriber->owner);
            return taken;
        }
        if (frame_length < 0) {
            refusal_count(subscriber, refusal);
            if (frame_answerable(bytes + taken, length - taken, &request_id, &limit))
                answer_error(subscriber, wire_error_from_error(frame_length), request_id);
            stream_close(stream);
            return length;
        }
        taken += (size_t)frame_length;
        frame_take(subscriber, &frame);
    }
    return taken;
}

static void on_drained(void *ctx, struct stream *stream)
{
    (void)stream;
    subscriber_pump(ctx);
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct subscriber *subscriber = ctx;
    struct subscribers *subscribers = subscriber->owner;
    (void)stream;
    (void)error;
    if (subscriber->previous)
        subscriber->previous->next = subscriber->next;
    else
        subscribers->first = subscriber->next;
    if (subscriber->next)
        subscriber->next->previous = subscriber->previous;
    subscribers->count--;
    free(subscriber);
}

static const struct stream_handlers handlers = {
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct subscribers *subscribers = ctx;
    (void)listener;
    struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
    if (!subscriber)
        return; /* without handlers the stream is closed */
    subscriber->owner = subscribers;
    subscriber->stream = stream;
    feed_init(&subscriber->feed, subscribers->config.rm_id, subscribers->config.epoch);
    subscriber->next = subscribers->first;
    if (subscriber->next)
        subscriber->next->previous = subscriber;
    subscribers->first = subscriber;
    subscribers->count++;
    stream_set_handlers(stream, &handlers, subscriber);
}

static void on_look(void *ctx, struct timer *timer)
{
    struct subscribers *subscribers = ctx;
    uint64_t now = now_ns(subscribers);
    uint64_t patience_ns = subscribers->config.patience_ns;
    for (struct subscriber *subscriber = subscribers->first; subscriber; subscriber = subscriber->next) {
        if (subscriber->heard_ns == 0)
            subscriber->heard_ns = now; /* connected, and yet to say something */
        bool partial = subscriber->partial_ns && now - subscriber->partial_ns >= patience_ns;
        if (!partial && now - subscriber->heard_ns <= IDLE_NS_MAX)
            continue;
        counter_add(subscribers->config.counters, COUNTER_SUBSCRIBERS_TOO_SLOW, 1);
        stream_abort(subscriber->stream);
    }
    timer_start(subscribers->config.loop, timer, now + patience_ns / LOOKS_PER_PATIENCE);
}

int subscribers_new(const struct subscribers_config *config, struct subscribers **ret_subscribers)
{
    struct subscribers *subscribers = calloc(1, sizeof(*subscribers));
    struct listener_config listener;
    if (!subscribers)
        return -ENOMEM;
    subscribers->config = *config;
    timer_init(&subscribers->push_timer, on_push, subscribers);
    timer_init(&subscribers->look_timer, on_look, subscribers);
    listener_config_init(&listener);
    listener.address = config->listen;
    listener.retry_bind = true;
    listener.connections_max = config->connections_max;
    listener.on_accept = on_accept;
    listener.ctx = subscribers;
    int error = listener_open(config->loop, &listener, &subscribers->listener);
    if (error < 0) {
        free(subscribers);
        return error;
    }
    timer_start(config->loop, &subscribers->look_timer, loop_now_ns(config->loop) + config->patience_ns / LOOKS_PER_PATIENCE);
    *ret_subscribers = subscribers;
    return 0;
}

void subscribers_free(struct subscribers *subscribers)
{
    if (!subscribers)
        return;
    timer_stop(&subscribers->push_timer);
    timer_stop(&subscribers->look_timer);
    listener_close(subscribers->listener);
    while (subscribers->first) {
        struct subscriber *subscriber = subscribers->first;
        subscribers->first = subscriber->next;
        stream_set_handlers(subscriber->stream, NULL, NULL);
        stream_abort(subscriber->stream);
        free(subscriber);
    }
    buffer_done(&subscribers->regions_frame);
    free(subscribers);
}

struct address subscribers_address(const struct subscribers *subscribers)
{
    return *listener_local_address(subscribers->listener);
}

int subscribers_set_regions(struct subscribers *subscribers, const struct region_table *table)
{
    struct buffer frame = {.length = 0};
    if (!table)
        return 0;
    int error = region_frame_make(table, &frame);
    if (error < 0)
        return error;
    buffer_done(&subscribers->regions_frame);
    subscribers->regions_frame = frame;
    subscribers->regions_version = table->version;
    for (struct subscriber *subscriber = subscribers->first; subscriber; subscriber = subscriber->next)
        if (subscriber->feed.subscribed)
            regions_send(subscriber);
    return 0;
}

uint32_t subscribers_count(const struct subscribers *subscribers)
{
    return subscribers->count;
}

void subscribers_list(const struct subscribers *subscribers, json_t *array)
{
    for (const struct subscriber *subscriber = subscribers->first; subscriber; subscriber = subscriber->next) {
        char peer[ADDRESS_TEXT_BYTES];
        json_array_append_new(
            array, json_pack("{s:s, s:s, s:b, s:I, s:I}", "peer", address_format(stream_peer(subscriber->stream), peer), "boot",
                             id_text_of(subscriber->feed.subscriber_boot).text, "push", subscriber->feed.push, "behind",
                             (json_int_t)(subscribers->config.cluster->sequence - subscriber->feed.told), "pending_bytes",
                             (json_int_t)stream_pending_bytes(subscriber->stream)));
    }
}
