#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

/* A returning region gets its whole share after this, or after the fault time where that is shorter. */
#define CLIENT_RAMP_NS (2 * NS_PER_S)

static int client_make_loop(struct usher_client *client, struct loop *loop)
{
    struct loop_config config;
    client->loop = loop;
    if (loop)
        return 0;
    loop_config_init(&config);
    /* Not io_uring: a library must run in any program, under any seccomp filter and memory lock limit, and start at once. */
    config.kind = LOOP_EPOLL;
    client->owns_loop = true;
    return loop_new(&config, &client->loop);
}

static int client_set_up(struct usher_client *client, struct loop *loop)
{
    const struct settings *settings = &client->settings;
    struct dispatchers_config dispatchers = {
        .fault_time_ns = settings->fault_time_ns,
        .ramp_ns = settings->fault_time_ns < CLIENT_RAMP_NS ? settings->fault_time_ns : CLIENT_RAMP_NS,
        .region_failures = settings->region_failures,
    };
    random_init_from_kernel(&client->random);
    client->client_id = random_next(&client->random);
    dispatchers_init(&client->dispatchers, &dispatchers);
    budget_init(&client->budget);
    nodes_init(&client->nodes, settings->fault_time_ns);
    map_init(&client->served, sizeof(uint64_t));
    locate_init(client);
    client->world = (struct ask_world){&client->dispatchers, &client->budget, &client->random};
    for (uint32_t i = 0; i < settings->dispatcher_count; i++) {
        int error = dispatchers_add(&client->dispatchers, &settings->dispatchers[i].address, settings->dispatchers[i].region);
        if (error < 0)
            return error;
    }
    int error = client_make_loop(client, loop);
    if (error < 0)
        return error;
    struct exchanger_config exchanger = {
        .loop = client->loop,
        .random = &client->random,
        .bind = settings->bind,
        .reply_timeout_ns = settings->reply_timeout_ns,
    };
    return exchanger_new(&exchanger, &client->exchanger);
}

int client_new(struct loop *loop, const struct usher_config *config, struct usher_client **ret_client, char *message)
{
    struct usher_client *client = calloc(1, sizeof(*client));
    if (!client)
        return -ENOMEM;
    int error = settings_parse(config, &client->settings, message);
    if (error < 0) {
        free(client);
        return error;
    }
    error = client_set_up(client, loop);
    if (error < 0) {
        snprintf(message, USHER_MESSAGE_BYTES, "cannot set up the client: %s", error_text(error));
        usher_client_free(client);
        return error;
    }
    *ret_client = client;
    return 0;
}

void usher_client_free(struct usher_client *client)
{
    if (!client)
        return;
    client->closing = true;
    for (uint32_t i = 0; i < client->calls.slot_count; i++)
        if (client->calls.slots[i])
            client->calls.slots[i]->kind->cancel(client->calls.slots[i]);
    CHECK(client->calls.count == 0);
    locate_done(client);
    exchanger_free(client->exchanger);
    if (client->owns_loop)
        loop_free(client->loop);
    dispatchers_done(&client->dispatchers);
    map_done(&client->served);
    free(client->calls.slots);
    free(client->calls.generations);
    free(client);
}

/* Calls */

static int calls_grow(struct calls *calls)
{
    uint32_t count = calls->slot_count ? calls->slot_count * 2 : 16;
    if (calls->slot_count >= USHER_CALLS_MAX)
        return -EAGAIN;
    struct call **slots = reallocarray(calls->slots, count, sizeof(struct call *));
    if (!slots)
        return -ENOMEM;
    calls->slots = slots;
    uint32_t *generations = reallocarray(calls->generations, count, sizeof(uint32_t));
    if (!generations)
        return -ENOMEM;
    calls->generations = generations;
    memset(&slots[calls->slot_count], 0, (count - calls->slot_count) * sizeof(struct call *));
    memset(&generations[calls->slot_count], 0, (count - calls->slot_count) * sizeof(uint32_t));
    calls->search_from = calls->slot_count;
    calls->slot_count = count;
    return 0;
}

static void call_on_begin(void *ctx, struct timer *timer)
{
    (void)timer;
    struct call *call = ctx;
    call->kind->begin(call);
}

int call_start(struct usher_client *client, const struct call_kind *kind, struct call *call)
{
    struct calls *calls = &client->calls;
    if (client->closing)
        return USHER_ECANCELLED;
    if (calls->count == calls->slot_count) {
        int error = calls_grow(calls);
        if (error < 0)
            return error;
    }
    /* One is free, and searching goes on where it ended last: a few steps while the calls are short against their number. */
    uint32_t index = calls->search_from;
    while (calls->slots[index])
        index = (index + 1) % calls->slot_count;
    calls->search_from = (index + 1) % calls->slot_count;
    calls->slots[index] = call;
    calls->generations[index]++;
    calls->count++;

    call->client = client;
    call->kind = kind;
    call->id = (uint64_t)calls->generations[index] << 32 | index;
    /* The caller may have been busy elsewhere for long: the loop's time is that of its last batch. */
    call->started_at_ns = loop_now_refresh(client->loop);
    timer_init(&call->timer, call_on_begin, call);
    timer_start(client->loop, &call->timer, call->started_at_ns);
    return 0;
}

void call_end(struct call *call)
{
    struct calls *calls = &call->client->calls;
    timer_stop(&call->timer);
    calls->slots[call->id & UINT32_MAX] = NULL;
    calls->count--;
}

struct call *call_find(struct usher_client *client, uint64_t id)
{
    uint32_t index = (uint32_t)(id & UINT32_MAX);
    if (index >= client->calls.slot_count || !client->calls.slots[index] || client->calls.slots[index]->id != id)
        return NULL;
    return client->calls.slots[index];
}

uint64_t call_elapsed_us(const struct call *call)
{
    return (loop_now_ns(call->client->loop) - call->started_at_ns) / NS_PER_US;
}

void client_tell(struct usher_client *client, const struct address *node, enum wire_outcome outcome, uint64_t latency_us)
{
    client->has_feedback = true;
    client->feedback = (struct wire_feedback){
        .node = *node,
        .outcome = (uint8_t)outcome,
        .latency_us = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX,
    };
}
