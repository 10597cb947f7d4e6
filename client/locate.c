#include "client/locate.h"

#include <errno.h>
#include <stdlib.h>

#include "client/client.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"

static void locate_on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    locate_update(ctx);
}

void locate_init(struct usher_client *client)
{
    timer_init(&client->locate.timer, locate_on_timer, client);
}

static void probe_free(struct probe *probe)
{
    struct locate *locate = &probe->client->locate;
    if (probe->next)
        probe->next->previous = probe->previous;
    if (probe->previous)
        probe->previous->next = probe->next;
    else
        locate->probes = probe->next;
    locate->probe_count--;
    exchange_cancel(&probe->exchange);
    free(probe);
}

void locate_done(struct usher_client *client)
{
    struct locate *locate = &client->locate;
    if (locate->asking)
        inquiry_cancel(&locate->inquiry);
    while (locate->probes)
        probe_free(locate->probes);
    timer_stop(&locate->timer);
}

/* The first location */

static void locate_on_done(void *ctx, struct inquiry *location)
{
    struct usher_client *client = ctx;
    client->locate.asking = false;
    if (location->ask.error < 0)
        gate_turn_away(client, location);
    else
        gate_update(client);
}

void locate_start(struct usher_client *client)
{
    struct locate *locate = &client->locate;
    if (locate->asking)
        return;
    locate->asking = true;
    inquiry_start(&locate->inquiry, client, INQUIRY_LOCATION, locate_on_done, client);
}

/* Probes */

static void probe_send(struct probe *probe);

static void probe_on_failure(void *ctx, struct exchange *exchange, int error)
{
    (void)exchange;
    struct probe *probe = ctx;
    struct usher_client *client = probe->client;
    uint64_t now_ns = loop_now_ns(client->loop);
    /* Over the other transport only the rest of the list was wanted. */
    if (exchange_is_local_error(error))
        dispatchers_probe_dropped(&client->dispatchers, &probe->address, now_ns);
    else if (probe->transport == client->settings.transport)
        dispatchers_on_failure(&client->dispatchers, &probe->address, now_ns, &client->random);
    probe_free(probe);
    locate_update(client);
}

static void probe_on_reply(void *ctx, struct exchange *exchange, const struct frame *frame)
{
    struct probe *probe = ctx;
    struct usher_client *client = probe->client;
    bool truncated;
    /* An ERROR too: it can't be of use, whatever it says. */
    if (frame->type != FRAME_TYPE_LOCATION || locate_take(client, &probe->address, frame, &truncated) < 0) {
        probe_on_failure(probe, exchange, USHER_EPROTOCOL);
        return;
    }
    if (truncated && probe->transport == FRAME_UDP) {
        probe->transport = FRAME_TCP;
        probe_send(probe);
        return;
    }
    probe_free(probe);
    locate_update(client);
}

static const struct exchange_handlers probe_handlers = {
    .on_reply = probe_on_reply,
    .on_failure = probe_on_failure,
};

static void probe_send(struct probe *probe)
{
    struct usher_client *client = probe->client;
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    uint64_t request_id;
    int length = exchange_begin(client->exchanger, &probe->exchange, &probe_handlers, probe, &request_id);
    if (length == 0)
        length = locate_encode(client, probe->transport, request_id, bytes);
    if (length < 0) {
        dispatchers_probe_dropped(&client->dispatchers, &probe->address, loop_now_ns(client->loop));
        probe_free(probe);
        return;
    }
    exchange_send(&probe->exchange, probe->transport, &probe->address, bytes, (size_t)length);
}

static void probe_start(struct usher_client *client, const struct address *address)
{
    struct locate *locate = &client->locate;
    struct probe *probe = locate->probe_count < PROBES_MAX ? calloc(1, sizeof(*probe)) : NULL;
    if (!probe) {
        dispatchers_probe_dropped(&client->dispatchers, address, loop_now_ns(client->loop));
        return;
    }
    probe->client = client;
    probe->address = *address;
    probe->transport = client->settings.transport;
    probe->next = locate->probes;
    if (probe->next)
        probe->next->previous = probe;
    locate->probes = probe;
    locate->probe_count++;
    probe_send(probe);
}

void locate_update(struct usher_client *client)
{
    struct address address;
    uint64_t now_ns = loop_now_ns(client->loop);
    while (dispatchers_probe(&client->dispatchers, now_ns, &address))
        probe_start(client, &address);
    uint64_t at_ns = dispatchers_probe_at(&client->dispatchers);
    if (at_ns == DISPATCHERS_NEVER)
        timer_stop(&client->locate.timer);
    else
        timer_start(client->loop, &client->locate.timer, at_ns);
}

void locate_heard_of(struct usher_client *client, const struct address *dispatcher, uint32_t regions_version)
{
    if (!dispatchers_is_news(&client->dispatchers, dispatcher, regions_version))
        return;
    for (const struct probe *probe = client->locate.probes; probe; probe = probe->next)
        if (address_equal(&probe->address, dispatcher))
            return;
    probe_start(client, dispatcher);
}

/* Request and reply */

int locate_encode(struct usher_client *client, enum frame_transport transport, uint64_t request_id, uint8_t *bytes)
{
    struct wire_location_request request = {.regions_version = client->dispatchers.regions_version};
    /* The list may be as long as the request. */
    uint32_t padded_length = transport == FRAME_UDP ? DATAGRAM_BYTES_MAX : 0;
    return wire_location_request_encode(&request, request_id, padded_length, bytes, DATAGRAM_BYTES_MAX);
}

int locate_take(struct usher_client *client, const struct address *from, const struct frame *frame, bool *ret_truncated)
{
    struct locate *locate = &client->locate;
    struct wire_location reply;
    struct wire_region_dispatcher dispatcher;
    enum refusal refusal;
    uint32_t count = 0;
    int result = wire_location_decode(frame, &reply, &refusal);
    if (result < 0)
        return result;
    while ((result = wire_location_next(&reply, &dispatcher, &refusal)) > 0 && count < REGION_DISPATCHERS_MAX)
        locate->listed[count++] = (struct dispatchers_listed){.address = dispatcher.address, .region = dispatcher.region};
    if (result < 0)
        return result;

    struct dispatchers_location location = {
        .client_region = reply.region,
        .own_region = reply.own_region,
        .regions_version = reply.regions_version,
        .listed = locate->listed,
        .listed_count = count,
        .complete = !reply.truncated,
    };
    result = dispatchers_on_location(&client->dispatchers, from, &location, loop_now_ns(client->loop), &client->random);
    if (result == -ENOMEM)
        return result;
    locate->known = true;
    *ret_truncated = reply.truncated;
    return 0;
}
