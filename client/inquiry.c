#include "client/inquiry.h"

#include <errno.h>
#include <stdio.h>

#include "client/client.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

/* A request is padded to this much at least, so that an ERROR over UDP, never longer than its request, can say what is wrong. */
#define INQUIRY_PADDED_BYTES_MIN 128u

static void inquiry_send(struct inquiry *inquiry);

static void inquiry_end(struct inquiry *inquiry)
{
    struct usher_client *client = inquiry->client;
    inquiry->client = NULL;
    if (inquiry->ask.error < 0 && inquiry->kind == INQUIRY_ADDRESS)
        client->stats.ask_failures++;
    if (inquiry->place == INQUIRY_ADMITTED)
        gate_done(client);
    locate_update(client);
    inquiry->on_done(inquiry->ctx, inquiry);
    gate_update(client);
}

static void inquiry_step(struct inquiry *inquiry, enum ask_step step)
{
    if (step == ASK_DONE) {
        inquiry_end(inquiry);
        return;
    }
    if (inquiry->kind == INQUIRY_ADDRESS && inquiry->ask.attempts > 1)
        inquiry->client->stats.ask_retries++;
    inquiry->transport = inquiry->client->settings.transport;
    inquiry_send(inquiry);
}

/* An error of our own machine's: other dispatchers would fare no better. */
static void inquiry_give_up(struct inquiry *inquiry, int error)
{
    inquiry->ask.error = error;
    inquiry->last_failure = error;
    inquiry_end(inquiry);
}

static void inquiry_on_failure(void *ctx, struct exchange *exchange, int error)
{
    (void)exchange;
    struct inquiry *inquiry = ctx;
    struct usher_client *client = inquiry->client;
    /* The first part of the list has come over UDP; the rest, over TCP, would have been nice. */
    if (inquiry->transport != client->settings.transport) {
        inquiry_step(inquiry, ask_on_answer(&inquiry->ask, &client->world, 0, loop_now_ns(client->loop)));
        return;
    }
    if (exchange_is_local_error(error)) {
        inquiry_give_up(inquiry, error);
        return;
    }
    inquiry->last_failure = error;
    inquiry_step(inquiry, ask_on_failure(&inquiry->ask, &client->world, error, loop_now_ns(client->loop)));
}

static void inquiry_take_error(struct inquiry *inquiry, const struct frame *frame)
{
    struct usher_client *client = inquiry->client;
    struct wire_error error;
    enum refusal refusal;
    if (wire_error_decode(frame, &error, &refusal) < 0) {
        inquiry_on_failure(inquiry, &inquiry->exchange, USHER_EPROTOCOL);
        return;
    }
    int code = wire_error_to_error(error.code);
    enum ask_step step = ask_on_error(&inquiry->ask, &client->world, code, loop_now_ns(client->loop));
    if (inquiry->ask.error == code)
        inquiry->refusal = error;
    inquiry_step(inquiry, step);
}

static void inquiry_note_region(struct usher_client *client, uint16_t region)
{
    struct usher_stats *stats = &client->stats;
    uint32_t i = 0;
    while (i < stats->region_count && stats->regions[i].region != region)
        i++;
    if (i == USHER_STATS_REGIONS_MAX)
        return;
    if (i == stats->region_count)
        stats->regions[stats->region_count++].region = region;
    stats->regions[i].answers++;
}

static void inquiry_take_address(struct inquiry *inquiry, const struct frame *frame)
{
    struct usher_client *client = inquiry->client;
    struct wire_address reply;
    enum refusal refusal;
    if (wire_address_decode(frame, &reply, &refusal) < 0 || reply.count == 0) {
        inquiry_on_failure(inquiry, &inquiry->exchange, USHER_EPROTOCOL);
        return;
    }
    inquiry->reply = reply;
    enum ask_step step = ask_on_answer(&inquiry->ask, &client->world, reply.region, loop_now_ns(client->loop));
    inquiry_note_region(client, reply.region);
    locate_heard_of(client, &inquiry->ask.choice.address, reply.regions_version);
    if (map_put(&client->served, &inquiry->request.service_id, 1) < 0) {
        inquiry_give_up(inquiry, -ENOMEM);
        return;
    }
    inquiry_step(inquiry, step);
}

static void inquiry_take_location(struct inquiry *inquiry, const struct frame *frame)
{
    struct usher_client *client = inquiry->client;
    bool truncated;
    int error = locate_take(client, &inquiry->ask.choice.address, frame, &truncated);
    if (error < 0) {
        inquiry_on_failure(inquiry, &inquiry->exchange, error);
        return;
    }
    if (truncated && inquiry->transport == FRAME_UDP) {
        inquiry->transport = FRAME_TCP;
        inquiry_send(inquiry);
        return;
    }
    inquiry_step(inquiry, ask_on_answer(&inquiry->ask, &client->world, 0, loop_now_ns(client->loop)));
}

static void inquiry_on_reply(void *ctx, struct exchange *exchange, const struct frame *frame)
{
    struct inquiry *inquiry = ctx;
    if (frame->type == FRAME_TYPE_ERROR)
        inquiry_take_error(inquiry, frame);
    else if (inquiry->kind == INQUIRY_ADDRESS && frame->type == FRAME_TYPE_ADDRESS)
        inquiry_take_address(inquiry, frame);
    else if (inquiry->kind == INQUIRY_LOCATION && frame->type == FRAME_TYPE_LOCATION)
        inquiry_take_location(inquiry, frame);
    else
        inquiry_on_failure(inquiry, exchange, USHER_EPROTOCOL);
}

static const struct exchange_handlers inquiry_handlers = {
    .on_reply = inquiry_on_reply,
    .on_failure = inquiry_on_failure,
};

static int inquiry_encode_address(struct inquiry *inquiry, uint64_t request_id, uint8_t *bytes)
{
    struct usher_client *client = inquiry->client;
    struct wire_address_request *request = &inquiry->request;
    uint32_t padded_length = wire_address_bytes(request->count, ADDRESS_IPV6);
    if (padded_length < INQUIRY_PADDED_BYTES_MIN)
        padded_length = INQUIRY_PADDED_BYTES_MIN;
    if (inquiry->transport == FRAME_TCP)
        padded_length = 0; /* there a reply may be longer than its request */
    request->has_feedback = client->has_feedback;
    request->feedback = client->feedback;
    client->has_feedback = false;
    /* Rounded up: 0 would mean no limit. */
    request->wait_ms = (uint32_t)((client->settings.reply_timeout_ns + NS_PER_MS - 1) / NS_PER_MS);
    return wire_address_request_encode(request, request_id, padded_length, bytes, DATAGRAM_BYTES_MAX);
}

static void inquiry_send(struct inquiry *inquiry)
{
    struct usher_client *client = inquiry->client;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint64_t request_id;
    int length = exchange_begin(client->exchanger, &inquiry->exchange, &inquiry_handlers, inquiry, &request_id);
    if (length == 0) {
        length = inquiry->kind == INQUIRY_ADDRESS ? inquiry_encode_address(inquiry, request_id, bytes)
                                                  : locate_encode(client, inquiry->transport, request_id, bytes);
        if (length < 0)
            exchange_cancel(&inquiry->exchange);
    }
    if (length < 0)
        inquiry_give_up(inquiry, length);
    else
        exchange_send(&inquiry->exchange, inquiry->transport, &inquiry->ask.choice.address, bytes, (size_t)length);
}

void inquiry_start(struct inquiry *inquiry, struct usher_client *client, enum inquiry_kind kind, inquiry_done_function *on_done,
                   void *ctx)
{
    inquiry->client = client;
    inquiry->kind = kind;
    inquiry->refusal = (struct wire_error){0};
    inquiry->last_failure = 0;
    inquiry->on_done = on_done;
    inquiry->ctx = ctx;
    inquiry->place = INQUIRY_OUTSIDE;
    inquiry->exchange.exchanger = NULL;
    inquiry->ask = (struct ask){0};
    if (kind == INQUIRY_ADDRESS)
        client->stats.asks++;
    if (kind == INQUIRY_ADDRESS)
        gate_enter(client, inquiry);
    else
        inquiry_step(inquiry, ask_start(&inquiry->ask, &client->world, loop_now_ns(client->loop)));
}

void inquiry_admitted(struct inquiry *inquiry)
{
    struct usher_client *client = inquiry->client;
    inquiry->place = INQUIRY_ADMITTED;
    inquiry_step(inquiry, ask_start(&inquiry->ask, &client->world, loop_now_ns(client->loop)));
}

void inquiry_turned_away(struct inquiry *inquiry, const struct inquiry *location)
{
    inquiry->ask = location->ask;
    inquiry->refusal = location->refusal;
    inquiry->last_failure = location->last_failure;
    inquiry_end(inquiry);
}

void inquiry_cancel(struct inquiry *inquiry)
{
    struct usher_client *client = inquiry->client;
    if (!client)
        return;
    if (inquiry->place == INQUIRY_WAITING)
        gate_leave(client, inquiry);
    if (inquiry->place == INQUIRY_ADMITTED)
        gate_done(client);
    exchange_cancel(&inquiry->exchange);
    inquiry->client = NULL;
    gate_update(client);
}

void inquiry_describe(const struct inquiry *inquiry, char message[static USHER_MESSAGE_BYTES])
{
    const struct ask *ask = &inquiry->ask;
    char address[ADDRESS_TEXT_BYTES];
    if (ask->error == USHER_EUNREACHABLE) {
        snprintf(message, USHER_MESSAGE_BYTES, "no dispatcher answered: %u attempts, the last to %s: %s", ask->attempts,
                 address_format(&ask->choice.address, address), error_text(inquiry->last_failure));
        return;
    }
    if (exchange_is_local_error(ask->error)) {
        const char *advice = "";
        if (ask->error == -EADDRNOTAVAIL)
            advice = ": this machine does not have the address to come from; give one of its own (--bind), or none";
        else if (ask->error == -EMFILE)
            advice = "; allow more (ulimit -n)";
        snprintf(message, USHER_MESSAGE_BYTES, "cannot ask %s: %s%s", address_format(&ask->choice.address, address),
                 error_text(ask->error), advice);
        return;
    }
    const char *text = inquiry->refusal.text_length > 0 ? inquiry->refusal.text : error_text(ask->error);
    const char *advice = "";
    if (ask->error == USHER_ENOTDISPATCHER)
        advice = "; give a dispatcher's address";
    else if (ask->error == USHER_ENOSERVICE)
        advice = "; is its name right?";
    snprintf(message, USHER_MESSAGE_BYTES, "%s says: %.160s%s", address_format(&ask->error_from, address), text, advice);
}
