#include "client/ask_call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/errors.h"

struct ask_call {
    struct call call;
    enum inquiry_kind kind;
    struct inquiry inquiry;
    usher_on_answer *callback;
    void *context;
};

static void ask_call_fill_answer(const struct ask_call *ask_call, struct usher_answer *answer)
{
    const struct usher_client *client = ask_call->call.client;
    const struct inquiry *inquiry = &ask_call->inquiry;
    const struct ask *ask = &inquiry->ask;
    address_format(&ask->choice.address, answer->dispatcher);
    if (ask_call->kind == INQUIRY_LOCATION) {
        const struct dispatcher *dispatcher = dispatchers_find(&client->dispatchers, &ask->choice.address);
        answer->region = dispatcher ? dispatcher->region : 0;
        return;
    }
    answer->region = inquiry->reply.region;
    answer->node_count = inquiry->reply.count;
    for (uint32_t i = 0; i < inquiry->reply.count; i++) {
        const struct wire_address_entry *entry = &inquiry->reply.entries[i];
        struct usher_node *node = &answer->nodes[i];
        address_format(&entry->address, node->address);
        node->dispatcher = (entry->state & WIRE_ADDRESS_DISPATCHER) != 0;
        node->no_echo = (entry->state & WIRE_ADDRESS_NO_ECHO) != 0;
        node->last = (entry->state & WIRE_ADDRESS_LAST) != 0;
    }
}

static void ask_call_end(struct ask_call *ask_call, int error)
{
    struct usher_answer answer = {
        .error = error,
        .attempts = ask_call->inquiry.ask.attempts,
        .elapsed_us = call_elapsed_us(&ask_call->call),
    };
    if (error == 0)
        ask_call_fill_answer(ask_call, &answer);
    else if (error == USHER_ECANCELLED)
        snprintf(answer.message, sizeof(answer.message), "%s", error_text(error));
    else
        inquiry_describe(&ask_call->inquiry, answer.message);
    call_end(&ask_call->call);
    ask_call->callback(ask_call->context, &answer);
    free(ask_call);
}

static void ask_call_on_done(void *ctx, struct inquiry *inquiry)
{
    struct ask_call *ask_call = ctx;
    ask_call_end(ask_call, inquiry->ask.error);
}

static void ask_call_begin(struct call *call)
{
    struct ask_call *ask_call = (struct ask_call *)call;
    inquiry_start(&ask_call->inquiry, call->client, ask_call->kind, ask_call_on_done, ask_call);
}

static void ask_call_cancel(struct call *call)
{
    struct ask_call *ask_call = (struct ask_call *)call;
    inquiry_cancel(&ask_call->inquiry);
    ask_call_end(ask_call, USHER_ECANCELLED);
}

static const struct call_kind ask_call_kind = {.begin = ask_call_begin, .cancel = ask_call_cancel};

int ask_call_start(struct usher_client *client, const struct usher_ask *ask, usher_on_answer *callback, void *context,
                   uint64_t *ret_id)
{
    struct ask_settings settings = {0};
    int error = ask ? ask_settings_parse(ask, &settings, client->message) : 0;
    if (error < 0)
        return error;
    struct ask_call *ask_call = calloc(1, sizeof(*ask_call));
    if (!ask_call)
        return -ENOMEM;
    ask_call->kind = ask ? INQUIRY_ADDRESS : INQUIRY_LOCATION;
    ask_call->callback = callback;
    ask_call->context = context;
    struct wire_address_request *request = &ask_call->inquiry.request;
    request->service_id = settings.service_id;
    request->count = settings.count;
    request->exclude_count = settings.exclude_count;
    memcpy(request->excludes, settings.excludes, sizeof(request->excludes));
    error = call_start(client, &ask_call_kind, &ask_call->call);
    if (error < 0) {
        free(ask_call);
        return error;
    }
    *ret_id = ask_call->call.id;
    return 0;
}
