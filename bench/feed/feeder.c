#include "bench/feed/feeder.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"

#define TICK_NS (10 * NS_PER_MS)
#define EPOCH 1

/* Of ports that the kernel picks for TCP and somebody has for UDP. */
#define PORT_TRIES 16

/* What a longer pause has left undone is forgotten: whoever was stopped (SIGSTOP) goes on at the rate that was asked for, at once. */
#define PAUSE_NS NS_PER_S

static uint64_t now_of(const struct feeder *feeder)
{
    return loop_now_ns(feeder->config.loop);
}

/* ---- what goes out ---- */

static void subscriber_send(struct feeder_subscriber *subscriber, uint32_t length)
{
    if (stream_send(subscriber->stream, subscriber->feeder->frame, length) == 0)
        return;
    subscriber->feeder->stats.dropped++;
    subscriber->push = false;
    stream_abort(subscriber->stream);
}

static void list_send(struct feeder_subscriber *subscriber)
{
    struct feeder *feeder = subscriber->feeder;
    const struct fleet *fleet = &feeder->fleet;
    uint32_t index = 0;
    struct wire_nodes_builder builder;
    struct wire_node entry;
    feeder->stats.lists++;
    while (index < fleet->config.node_count) {
        struct wire_directory list = {
            .version = {.rm_id = feeder->rm_id, .epoch = EPOCH, .sequence = feeder->sequence},
            .node_total = fleet->config.node_count,
            .first = index == 0,
        };
        wire_directory_begin(&builder, &list, subscriber->request_id, feeder->frame, sizeof(feeder->frame));
        for (; index < fleet->config.node_count; index++) {
            fleet_entry(fleet, index, now_of(feeder), &entry);
            if (wire_nodes_add(&builder, &entry) < 0)
                break;
        }
        int length = wire_nodes_finish(&builder, index < fleet->config.node_count);
        CHECK(length > 0);
        subscriber_send(subscriber, (uint32_t)length);
    }
}

static void delta_begin(struct feeder *feeder, struct wire_nodes_builder *builder, uint32_t entries)
{
    struct wire_delta delta = {
        .rm_id = feeder->rm_id,
        .epoch = EPOCH,
        .base_sequence = feeder->sequence,
        .sequence = feeder->sequence + entries,
    };
    wire_delta_begin(builder, &delta, 0, feeder->frame, sizeof(feeder->frame));
}

static uint32_t delta_finish(struct feeder *feeder, struct wire_nodes_builder *builder, uint32_t entries)
{
    int length = wire_nodes_finish(builder, false);
    CHECK(length > 0);
    feeder->sequence += entries;
    return (uint32_t)length;
}

static void delta_broadcast(struct feeder *feeder, struct wire_nodes_builder *builder, uint32_t entries)
{
    uint32_t length = delta_finish(feeder, builder, entries);
    feeder->stats.frames++;
    for (uint32_t i = 0; i < FEEDER_SUBSCRIBERS_MAX; i++)
        if (feeder->subscribers[i].stream && feeder->subscribers[i].push)
            subscriber_send(&feeder->subscribers[i], length);
}

/* How many entries with `services` services fit behind one another for certain. */
static uint32_t entries_per_frame(uint32_t services)
{
    return (DIRECTORY_PART_BYTES_MAX - 128) / (NODE_ENTRY_BYTES_MIN + services * NODE_ENTRY_SERVICE_BYTES + FIXED_ADDRESS_BYTES);
}

/* Every load report is in one DELTA, in turn. */
static void updates_send(struct feeder *feeder, uint32_t count)
{
    uint32_t per_frame = entries_per_frame(feeder->fleet.config.services_per_node);
    uint64_t now_ns = now_of(feeder);
    struct wire_nodes_builder builder;
    struct wire_node entry;
    feeder->stats.updates += count;
    while (count > 0) {
        uint32_t entries = count < per_frame ? count : per_frame;
        delta_begin(feeder, &builder, entries);
        for (uint32_t i = 0; i < entries; i++) {
            fleet_entry(&feeder->fleet, fleet_update(&feeder->fleet, now_ns), now_ns, &entry);
            CHECK(wire_nodes_add(&builder, &entry) == 0);
        }
        delta_broadcast(feeder, &builder, entries);
        count -= entries;
    }
}

static void changes_send(struct feeder *feeder, uint32_t count)
{
    uint64_t now_ns = now_of(feeder);
    struct wire_nodes_builder builder;
    struct wire_node entry;
    struct address left;
    feeder->stats.changes += count;
    for (; count > 0; count--) {
        uint32_t index = fleet_replace(&feeder->fleet, now_ns, &left);
        delta_begin(feeder, &builder, 2);
        CHECK(wire_nodes_add_removed(&builder, &left) == 0);
        fleet_entry(&feeder->fleet, index, now_ns, &entry);
        CHECK(wire_nodes_add(&builder, &entry) == 0);
        delta_broadcast(feeder, &builder, 2);
    }
}

/* How many of `per_s` a second are due and not done. */
static uint32_t due(const struct feeder *feeder, double per_s, uint64_t done)
{
    double wanted = per_s * (double)(now_of(feeder) - feeder->started_ns) / (double)NS_PER_S - (double)done;
    return wanted < 1 ? 0 : (uint32_t)wanted;
}

static void on_tick(void *ctx, struct timer *timer)
{
    struct feeder *feeder = ctx;
    uint64_t late_ns = now_of(feeder) - feeder->tick_ns;
    if (late_ns > feeder->stats.late_max_ns)
        feeder->stats.late_max_ns = late_ns;
    if (late_ns > PAUSE_NS) {
        feeder->started_ns += late_ns;
        feeder->tick_ns += late_ns;
    }
    changes_send(feeder, due(feeder, feeder->config.changes_per_s, feeder->stats.changes));
    updates_send(feeder, due(feeder, feeder->config.updates_per_s, feeder->stats.updates));
    feeder->tick_ns += TICK_NS;
    timer_start(feeder->config.loop, timer, feeder->tick_ns);
}

/* ---- subscribers ---- */

static void nothing_changed_send(struct feeder_subscriber *subscriber)
{
    struct wire_nodes_builder builder;
    struct feeder *feeder = subscriber->feeder;
    delta_begin(feeder, &builder, 0);
    subscriber_send(subscriber, delta_finish(feeder, &builder, 0));
}

static void subscribe_take(struct feeder_subscriber *subscriber, const struct frame *frame)
{
    struct feeder *feeder = subscriber->feeder;
    struct wire_subscribe subscribe;
    enum refusal refusal;
    if (wire_subscribe_decode(frame, &subscribe, &refusal) < 0) {
        feeder->stats.refused++;
        return;
    }
    subscriber->request_id = frame->request_id;
    bool ours = subscribe.have.rm_id == feeder->rm_id && subscribe.have.epoch == EPOCH;
    /* What has been sent over this connection arrives, so one with push that has any version of ours will have the current one. */
    bool current = ours && (subscriber->push || subscribe.have.sequence == feeder->sequence);
    if (current)
        nothing_changed_send(subscriber);
    else
        list_send(subscriber);
    subscriber->push = subscribe.push;
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct feeder_subscriber *subscriber = ctx;
    size_t taken = 0;
    while (taken < length) {
        struct frame frame;
        enum refusal refusal;
        int frame_length = frame_decode_stream(bytes + taken, length - taken, &frame, &refusal);
        if (frame_length == -EAGAIN)
            return taken;
        if (frame_length < 0) {
            subscriber->feeder->stats.refused++;
            stream_abort(stream);
            return length;
        }
        taken += (size_t)frame_length;
        if (frame.type == FRAME_TYPE_SUBSCRIBE)
            subscribe_take(subscriber, &frame);
    }
    return taken;
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct feeder_subscriber *subscriber = ctx;
    (void)stream;
    (void)error;
    *subscriber = (struct feeder_subscriber){.feeder = subscriber->feeder};
}

static const struct stream_handlers handlers = {.on_bytes = on_bytes, .on_closed = on_closed};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct feeder *feeder = ctx;
    (void)listener;
    for (uint32_t i = 0; i < FEEDER_SUBSCRIBERS_MAX; i++) {
        if (feeder->subscribers[i].stream)
            continue;
        feeder->subscribers[i] = (struct feeder_subscriber){.feeder = feeder, .stream = stream};
        stream_set_handlers(stream, &handlers, &feeder->subscribers[i]);
        return;
    } /* without handlers the stream is closed */
}

/* ---- life ---- */

static int listener_start(struct feeder *feeder, struct address *address)
{
    struct listener_config config;
    listener_config_init(&config);
    config.address = *address;
    config.retry_bind = address->port != 0;
    config.limits.high_bytes = FEEDER_PENDING_MAX;
    config.limits.low_bytes = FEEDER_PENDING_MAX / 2;
    config.on_accept = on_accept;
    config.ctx = feeder;
    int error = listener_open(feeder->config.loop, &config, &feeder->listener);
    if (error == 0)
        address->port = listener_local_address(feeder->listener)->port;
    return error;
}

static int udp_start(struct feeder *feeder, const struct address *address)
{
    struct udp_config config;
    udp_config_init(&config);
    config.address = *address;
    config.retry_bind = feeder->config.listen.port != 0;
    config.on_datagram = feeder_on_datagram;
    config.ctx = feeder;
    return udp_open(feeder->config.loop, &config, &feeder->udp);
}

/* One port for both; where the kernel is to pick it, TCP comes first. */
static int sockets_open(struct feeder *feeder)
{
    for (uint32_t tries = PORT_TRIES;; tries--) {
        struct address address = feeder->config.listen;
        int error = listener_start(feeder, &address);
        if (error < 0)
            return error;
        error = udp_start(feeder, &address);
        if (error == 0)
            return 0;
        listener_close(feeder->listener);
        feeder->listener = NULL;
        if (error != -EADDRINUSE || feeder->config.listen.port != 0 || tries == 0)
            return error;
    }
}

int feeder_new(const struct feeder_config *config, struct feeder **ret_feeder)
{
    struct feeder *feeder = calloc(1, sizeof(*feeder));
    if (!feeder)
        return -ENOMEM;
    feeder->config = *config;
    feeder->started_ns = loop_now_ns(config->loop);
    /* Another start is another rm: a dispatcher that stays must take the list anew. */
    feeder->rm_id = feeder->started_ns | 1;
    feeder->sequence = 1;
    timer_init(&feeder->tick, on_tick, feeder);
    int error = fleet_init(&feeder->fleet, &config->fleet, feeder->started_ns);
    if (error < 0) {
        free(feeder);
        return error;
    }
    error = sockets_open(feeder);
    if (error < 0) {
        feeder_free(feeder);
        return error;
    }
    feeder->tick_ns = feeder->started_ns + TICK_NS;
    if (config->updates_per_s > 0 || config->changes_per_s > 0)
        timer_start(config->loop, &feeder->tick, feeder->tick_ns);
    *ret_feeder = feeder;
    return 0;
}

void feeder_free(struct feeder *feeder)
{
    if (!feeder)
        return;
    timer_stop(&feeder->tick);
    for (uint32_t i = 0; i < FEEDER_SUBSCRIBERS_MAX; i++) {
        if (!feeder->subscribers[i].stream)
            continue;
        stream_set_handlers(feeder->subscribers[i].stream, NULL, NULL);
        stream_abort(feeder->subscribers[i].stream);
    }
    if (feeder->udp)
        udp_close(feeder->udp);
    if (feeder->listener)
        listener_close(feeder->listener);
    fleet_done(&feeder->fleet);
    free(feeder);
}

const struct address *feeder_address(const struct feeder *feeder)
{
    return listener_local_address(feeder->listener);
}

uint32_t feeder_subscriber_count(const struct feeder *feeder)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FEEDER_SUBSCRIBERS_MAX; i++)
        count += feeder->subscribers[i].stream != NULL;
    return count;
}
