#include "client/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/io/loop.h"

/* A request ID is random bits above the index of its exchange: replies are found without a search, and can't be guessed. */
#define EXCHANGE_INDEX_BITS 18
#define EXCHANGES_MAX (1u << EXCHANGE_INDEX_BITS)
#define EXCHANGE_INDEX_MASK (EXCHANGES_MAX - 1)

struct exchange_channel {
    struct exchanger *exchanger;
    struct channel *channel;
    struct exchange *first;
    uint32_t count;
    bool retired; /* takes no more exchanges; closed after its last one */
    struct exchange_channel *previous;
    struct exchange_channel *next;
};

struct exchanger {
    struct exchanger_config config;
    struct exchange_channel *channels;
    struct exchange **slots; /* by index; NULL: free */
    uint32_t *free_slots;
    uint32_t slot_count;
    uint32_t free_count;
};

int exchanger_new(const struct exchanger_config *config, struct exchanger **ret_exchanger)
{
    struct exchanger *exchanger = calloc(1, sizeof(*exchanger));
    if (!exchanger)
        return -ENOMEM;
    exchanger->config = *config;
    *ret_exchanger = exchanger;
    return 0;
}

static void exchange_channel_free(struct exchange_channel *channel)
{
    struct exchanger *exchanger = channel->exchanger;
    if (channel->next)
        channel->next->previous = channel->previous;
    if (channel->previous)
        channel->previous->next = channel->next;
    else
        exchanger->channels = channel->next;
    channel_close(channel->channel);
    free(channel);
}

void exchanger_free(struct exchanger *exchanger)
{
    if (!exchanger)
        return;
    CHECK(exchanger->free_count == exchanger->slot_count);
    while (exchanger->channels)
        exchange_channel_free(exchanger->channels);
    free(exchanger->slots);
    free(exchanger->free_slots);
    free(exchanger);
}

/* Takes the exchange off its channel and gives its slot back; the channel may go with its last one. */
static void exchange_end(struct exchange *exchange)
{
    struct exchanger *exchanger = exchange->exchanger;
    struct exchange_channel *channel = exchange->channel;
    uint32_t index = (uint32_t)(exchange->request_id & EXCHANGE_INDEX_MASK);
    exchanger->slots[index] = NULL;
    exchanger->free_slots[exchanger->free_count++] = index;
    exchange->exchanger = NULL;
    exchange->channel = NULL;
    timer_stop(&exchange->timer);
    if (!channel)
        return;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else
        channel->first = exchange->next;
    channel->count--;
    if (channel->retired && channel->count == 0)
        exchange_channel_free(channel);
}

static void exchange_on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct exchange *exchange = ctx;
    if (exchange->channel)
        exchange->channel->retired = true; /* not freed: this exchange is still on it */
    int error = exchange->error;
    exchange_end(exchange);
    exchange->handlers->on_failure(exchange->ctx, exchange, error);
}

static void exchange_on_frame(void *ctx, struct channel *raw, const struct frame *frame)
{
    (void)raw;
    struct exchange_channel *channel = ctx;
    struct exchanger *exchanger = channel->exchanger;
    uint32_t index = (uint32_t)(frame->request_id & EXCHANGE_INDEX_MASK);
    struct exchange *exchange = index < exchanger->slot_count ? exchanger->slots[index] : NULL;
    if (!frame_is_reply(frame->type) || !exchange || exchange->request_id != frame->request_id || exchange->channel != channel)
        return;
    exchange_end(exchange);
    exchange->handlers->on_reply(exchange->ctx, exchange, frame);
}

static void exchange_on_broken(void *ctx, struct channel *raw, int error)
{
    (void)raw;
    struct exchange_channel *channel = ctx;
    /* The first handlers may start others, which must not come here, and cancel others of this channel. */
    channel->retired = true;
    channel->count++; /* holds the channel */
    while (channel->first) {
        struct exchange *exchange = channel->first;
        exchange_end(exchange);
        exchange->handlers->on_failure(exchange->ctx, exchange, error);
    }
    channel->count--;
    exchange_channel_free(channel);
}

static const struct channel_handlers exchange_channel_handlers = {
    .on_frame = exchange_on_frame,
    .on_broken = exchange_on_broken,
};

static int exchange_channel_get(struct exchanger *exchanger, enum frame_transport transport, const struct address *dispatcher,
                                struct exchange_channel **ret_channel)
{
    struct exchange_channel *channel;
    for (channel = exchanger->channels; channel; channel = channel->next) {
        if (!channel->retired && channel_transport(channel->channel) == transport &&
            address_equal(channel_dispatcher(channel->channel), dispatcher)) {
            *ret_channel = channel;
            return 0;
        }
    }
    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    int error = channel_open(exchanger->config.loop, transport, dispatcher, &exchanger->config.bind, &exchange_channel_handlers,
                             channel, &channel->channel);
    if (error < 0) {
        free(channel);
        return error;
    }
    channel->exchanger = exchanger;
    channel->next = exchanger->channels;
    if (channel->next)
        channel->next->previous = channel;
    exchanger->channels = channel;
    *ret_channel = channel;
    return 0;
}

static int exchanger_grow(struct exchanger *exchanger)
{
    uint32_t count = exchanger->slot_count ? exchanger->slot_count * 2 : 16;
    if (count > EXCHANGES_MAX)
        return -ENOMEM;
    struct exchange **slots = reallocarray(exchanger->slots, count, sizeof(struct exchange *));
    if (!slots)
        return -ENOMEM;
    exchanger->slots = slots;
    uint32_t *free_slots = reallocarray(exchanger->free_slots, count, sizeof(uint32_t));
    if (!free_slots)
        return -ENOMEM;
    exchanger->free_slots = free_slots;
    for (uint32_t i = exchanger->slot_count; i < count; i++) {
        slots[i] = NULL;
        free_slots[exchanger->free_count++] = i;
    }
    exchanger->slot_count = count;
    return 0;
}

int exchange_begin(struct exchanger *exchanger, struct exchange *exchange, const struct exchange_handlers *handlers, void *ctx,
                   uint64_t *ret_request_id)
{
    if (exchanger->free_count == 0) {
        int error = exchanger_grow(exchanger);
        if (error < 0)
            return error;
    }
    uint32_t index = exchanger->free_slots[--exchanger->free_count];
    *exchange = (struct exchange){
        .exchanger = exchanger,
        .handlers = handlers,
        .ctx = ctx,
        .request_id = (random_next(exchanger->config.random) & ~(uint64_t)EXCHANGE_INDEX_MASK) | index,
        .error = -ETIMEDOUT,
    };
    timer_init(&exchange->timer, exchange_on_timer, exchange);
    exchanger->slots[index] = exchange;
    *ret_request_id = exchange->request_id;
    return 0;
}

void exchange_send(struct exchange *exchange, enum frame_transport transport, const struct address *dispatcher,
                   const uint8_t *bytes, size_t length)
{
    struct exchanger *exchanger = exchange->exchanger;
    struct loop *loop = exchanger->config.loop;
    struct exchange_channel *channel;
    int error = exchange_channel_get(exchanger, transport, dispatcher, &channel);
    if (error == 0) {
        exchange->channel = channel;
        exchange->next = channel->first;
        if (exchange->next)
            exchange->next->previous = exchange;
        channel->first = exchange;
        channel->count++;
        error = channel_send(channel->channel, bytes, length);
    }
    if (error < 0)
        exchange->error = error;
    timer_start(loop, &exchange->timer, error < 0 ? loop_now_ns(loop) : loop_now_ns(loop) + exchanger->config.reply_timeout_ns);
}

bool exchange_is_local_error(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
    case -EACCES:
    case -EADDRINUSE:
    case -EADDRNOTAVAIL: return true;
    default: return false;
    }
}

void exchange_cancel(struct exchange *exchange)
{
    if (exchange->exchanger)
        exchange_end(exchange);
}
