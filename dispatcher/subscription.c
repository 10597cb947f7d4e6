#include "dispatcher/subscription.h"

#include <errno.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/log.h"
#include "core/wire/directory.h"
#include "core/wire/error.h"

#define FULL_LIST_INTERVAL_NS (30 * NS_PER_S)
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS NS_PER_S
#define SILENCE_MIN_NS NS_PER_S
#define SILENCE_MAX_NS (3 * NS_PER_S)

/* An rm that pushes has nothing to say while nothing changes: it is asked at least so often, to hear whether it is there. */
#define PUSHING_ASKED_EVERY_NS NS_PER_S

static void subscription_on_timer(void *ctx, struct timer *timer);

const struct address *subscription_rm(const struct subscription *subscription)
{
    return &subscription->config.rms.item[subscription->rm_index];
}

static uint64_t ask_interval_ns(const struct subscription *subscription)
{
    uint64_t refresh_ns = subscription->config.refresh_ns;
    return subscription->config.push && refresh_ns > PUSHING_ASKED_EVERY_NS ? PUSHING_ASKED_EVERY_NS : refresh_ns;
}

/* How long an rm may leave a question unanswered. */
static uint64_t silence_limit_ns(const struct subscription *subscription)
{
    uint64_t limit_ns = 4 * subscription->config.refresh_ns;
    if (limit_ns < SILENCE_MIN_NS)
        return SILENCE_MIN_NS;
    return limit_ns < SILENCE_MAX_NS ? limit_ns : SILENCE_MAX_NS;
}

/* To the next question, or to the end of patience with the last one. */
static void timer_next(struct subscription *subscription)
{
    uint64_t at_ns = subscription->ask_ns;
    if (subscription->asked_ns != 0 && subscription->asked_ns + silence_limit_ns(subscription) < at_ns)
        at_ns = subscription->asked_ns + silence_limit_ns(subscription);
    timer_start(subscription->config.loop, &subscription->timer, at_ns);
}

static void timer_after(struct subscription *subscription, uint64_t delay_ns)
{
    struct loop *loop = subscription->config.loop;
    timer_start(loop, &subscription->timer, loop_now_ns(loop) + delay_ns);
}

/* `full`: as if we had nothing, so that the whole list comes. */
static void subscription_ask(struct subscription *subscription, bool full)
{
    const struct subscription_config *config = &subscription->config;
    const struct directory *directory = config->directory;
    uint64_t now_ns = loop_now_ns(config->loop);
    uint8_t bytes[SUBSCRIBE_BYTES];
    struct wire_subscribe subscribe = {
        .subscriber = config->subscriber,
        .boot_id = config->boot_id,
        .region = config->region,
        .push = config->push,
        .regions_version = directory->table_version,
    };
    if (!full)
        subscribe.have = directory->version;
    /* Counts as asked even when it cannot be sent: an rm that does not read is silent too. */
    if (subscription->asked_ns == 0)
        subscription->asked_ns = now_ns;
    subscription->ask_ns = now_ns + ask_interval_ns(subscription);
    int length = wire_subscribe_encode(&subscribe, ++subscription->request_id, bytes, sizeof(bytes));
    if (length < 0 || stream_send(subscription->stream, bytes, (size_t)length) < 0)
        return;
    if (!full)
        return;
    subscription->full_ns = now_ns;
    subscription->full_coming = true;
}

static void log_lost(struct subscription *subscription, const char *reason)
{
    char rm[ADDRESS_TEXT_BYTES];
    if (subscription->lost_logged)
        return;
    subscription->lost_logged = true;
    LOG(MESSAGE_RM_LOST, LOG_TEXT("rm", address_format(subscription_rm(subscription), rm)), LOG_TEXT("reason", reason));
}

static void step_next(struct subscription *subscription)
{
    struct loop *loop = subscription->config.loop;
    uint64_t due_ns = directory_due_ns(subscription->config.directory, loop_now_ns(loop));
    if (due_ns)
        timer_start(loop, &subscription->step, due_ns);
}

static void subscription_on_step(void *ctx, struct timer *timer)
{
    struct subscription *subscription = ctx;
    (void)timer;
    (void)directory_step(subscription->config.directory, loop_now_ns(subscription->config.loop));
    step_next(subscription);
}

void subscription_directory_changed(struct subscription *subscription)
{
    if (!timer_is_running(&subscription->step))
        step_next(subscription);
}

static void subscription_follow(struct subscription *subscription)
{
    char rm[ADDRESS_TEXT_BYTES];
    uint64_t now_ns = loop_now_ns(subscription->config.loop);
    subscription->following = true;
    subscription->retry_ns = RETRY_MIN_NS;
    subscription->lost_logged = false;
    subscription->refused_logged = false;
    LOG(MESSAGE_RM_FOLLOWED, LOG_TEXT("rm", address_format(subscription_rm(subscription), rm)),
        LOG_NUMBER("nodes", subscription->config.directory->members.present_count),
        LOG_NUMBER("without_news_ms", subscription->news_ns ? (now_ns - subscription->news_ns) / NS_PER_MS : 0));
}

static void subscription_on_open(void *ctx, struct stream *stream)
{
    struct subscription *subscription = ctx;
    const struct directory *directory = subscription->config.directory;
    (void)stream;
    subscription->asked_ns = 0;
    /* What we have may be another rm's or an older epoch's: rm then answers with the full list. */
    subscription_ask(subscription, !directory_is_filled(directory) || directory_is_mixed(directory));
    timer_next(subscription);
}

/* On to the next rm, after a while. */
static void subscription_move_on(struct subscription *subscription)
{
    subscription->stream = NULL;
    subscription->following = false;
    subscription->full_coming = false;
    subscription->rm_index = (subscription->rm_index + 1) % subscription->config.rms.count;
    /* All dispatchers lose a restarting rm in the same moment: they must not come back in one. */
    double jitter = 0.5 + random_unit(&subscription->random);
    timer_after(subscription, (uint64_t)((double)subscription->retry_ns * jitter));
    subscription->retry_ns = subscription->retry_ns * 2 < RETRY_MAX_NS ? subscription->retry_ns * 2 : RETRY_MAX_NS;
}

static void subscription_on_closed(void *ctx, struct stream *stream, int error)
{
    struct subscription *subscription = ctx;
    (void)stream;
    log_lost(subscription, error ? error_text(error) : "it closed the connection");
    if (subscription->following)
        counter_add(subscription->config.counters, COUNTER_RM_LOST, 1);
    subscription_move_on(subscription);
}

/* An rm that refuses one question refuses the next: returns an error in any case. */
static int take_error(struct subscription *subscription, const struct frame *frame, enum refusal *ret_refusal)
{
    struct wire_error error;
    char rm[ADDRESS_TEXT_BYTES];
    int result = wire_error_decode(frame, &error, ret_refusal);
    if (result < 0)
        return result;
    if (!subscription->refused_logged)
        LOG(MESSAGE_RM_REFUSED, LOG_TEXT("rm", address_format(subscription_rm(subscription), rm)),
            LOG_TEXT("text", error.text_length ? error.text : error_text(wire_error_to_error(error.code))));
    subscription->refused_logged = true;
    return wire_error_to_error(error.code);
}

/* The list has not become what rm meant: only the full one helps. */
static void ask_for_full(struct subscription *subscription, const struct frame *frame, int error)
{
    counter_add(subscription->config.counters, COUNTER_DIRECTORY_GAPS, 1);
    /* At once only where that is new: rm must not be asked again for what it is sending, or for what was of no use just now. */
    if (error != -ENODATA || frame->type != FRAME_TYPE_DELTA)
        subscription->full_ns = 0;
    else if (!subscription->full_coming)
        subscription_ask(subscription, true);
}

/* rm knows less than we do: it has lost its memory, or its folder was copied from another rm's. One that we follow may find it again. */
static int take_stale(struct subscription *subscription, const struct frame *frame)
{
    counter_add(subscription->config.counters, COUNTER_DIRECTORY_STALE, 1);
    if (subscription->following || frame->type != FRAME_TYPE_DIRECTORY)
        return 0;
    log_lost(subscription, "its list is empty, or older than ours");
    return -ESTALE;
}

/* 0, or a negative error when there is no use in this rm; the refusal where it has sent nonsense. */
static int subscription_take(struct subscription *subscription, const struct frame *frame, enum refusal *ret_refusal)
{
    struct directory *directory = subscription->config.directory;
    if (frame->type == FRAME_TYPE_ERROR)
        return take_error(subscription, frame, ret_refusal);
    if (frame->type != FRAME_TYPE_DIRECTORY && frame->type != FRAME_TYPE_DELTA && frame->type != FRAME_TYPE_REGION_TABLE) {
        counter_add(subscription->config.counters, refusal_counter(REFUSAL_UNKNOWN_TYPE), 1);
        return 0;
    }
    int error = directory_take(directory, frame, loop_now_ns(subscription->config.loop), ret_refusal);
    subscription_directory_changed(subscription);
    if (error == USHER_EPROTOCOL)
        return error;
    subscription->asked_ns = 0;
    if (frame->type == FRAME_TYPE_DIRECTORY && !(frame->flags & FRAME_MORE))
        subscription->full_coming = false;
    if (error == -ESTALE)
        return take_stale(subscription, frame);
    if (error < 0) {
        ask_for_full(subscription, frame, error);
        return 0;
    }
    if (!subscription->following && directory_is_filled(directory))
        subscription_follow(subscription);
    subscription->news_ns = loop_now_ns(subscription->config.loop);
    return 0;
}

static size_t subscription_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct subscription *subscription = ctx;
    size_t used = 0;
    struct frame frame;
    enum refusal refusal = REFUSAL_NONE;
    int error = 0;
    while (used < length) {
        error = frame_decode_stream(bytes + used, length - used, &frame, &refusal);
        if (error == -EAGAIN)
            return used;
        if (error > 0)
            error = subscription_take(subscription, &frame, &refusal);
        if (error < 0)
            break;
        used += frame.length;
    }
    if (error == 0)
        return used;
    if (refusal != REFUSAL_NONE)
        counter_add(subscription->config.counters, refusal_counter(refusal), 1);
    log_lost(subscription, refusal == REFUSAL_NONE ? error_text(error) : refusal_text(refusal));
    stream_abort(stream);
    return length;
}

static const struct stream_handlers subscription_handlers = {
    .on_open = subscription_on_open,
    .on_bytes = subscription_on_bytes,
    .on_closed = subscription_on_closed,
};

static void subscription_connect(struct subscription *subscription)
{
    struct stream_config stream;
    stream_config_init(&stream);
    stream.address = *subscription_rm(subscription);
    stream.handlers = &subscription_handlers;
    stream.ctx = subscription;
    int error = stream_connect(subscription->config.loop, &stream, &subscription->stream);
    if (error < 0) {
        log_lost(subscription, error_text(error));
        subscription_move_on(subscription);
        return;
    }
    /* Also the time limit for connecting: the timer finds it unopened. */
    subscription->asked_ns = loop_now_ns(subscription->config.loop);
    timer_after(subscription, silence_limit_ns(subscription));
}

static void subscription_refresh(struct subscription *subscription)
{
    uint64_t now_ns = loop_now_ns(subscription->config.loop);
    if (subscription->asked_ns != 0 && now_ns - subscription->asked_ns >= silence_limit_ns(subscription)) {
        log_lost(subscription, "it does not answer");
        stream_abort(subscription->stream);
        return;
    }
    if (now_ns >= subscription->ask_ns)
        subscription_ask(subscription, subscription->full_ns == 0 || now_ns - subscription->full_ns >= FULL_LIST_INTERVAL_NS);
    timer_next(subscription);
}

static void subscription_on_timer(void *ctx, struct timer *timer)
{
    struct subscription *subscription = ctx;
    (void)timer;
    if (subscription->stream)
        subscription_refresh(subscription);
    else
        subscription_connect(subscription);
}

void subscription_start(struct subscription *subscription, const struct subscription_config *config)
{
    *subscription = (struct subscription){.config = *config, .retry_ns = RETRY_MIN_NS};
    random_init_from_kernel(&subscription->random);
    /* Dispatchers spread over the rms from the start. */
    subscription->rm_index = random_below(&subscription->random, config->rms.count);
    timer_init(&subscription->timer, subscription_on_timer, subscription);
    timer_init(&subscription->step, subscription_on_step, subscription);
    subscription_connect(subscription);
}

void subscription_stop(struct subscription *subscription)
{
    timer_stop(&subscription->timer);
    timer_stop(&subscription->step);
    if (!subscription->stream)
        return;
    stream_set_handlers(subscription->stream, NULL, NULL);
    stream_abort(subscription->stream);
    subscription->stream = NULL;
}
