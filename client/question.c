#include "client/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/errors.h"

struct question {
    struct call call;
    enum inquiry_kind kind;
    struct inquiry inquiry;
    usher_on_answer *callback;
    void *context;
};

static void question_fill_answer(const struct question *question, struct usher_answer *answer)
{
    const struct usher_client *client = question->call.client;
    const struct inquiry *inquiry = &question->inquiry;
    const struct ask *ask = &inquiry->ask;
    address_format(&ask->choice.address, answer->dispatcher);
    if (question->kind == INQUIRY_LOCATION) {
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

static void question_end(struct question *question, int error)
{
    struct usher_answer answer = {
        .error = error,
        .attempts = question->inquiry.ask.attempts,
        .elapsed_us = call_elapsed_us(&question->call),
    };
    if (error == 0)
        question_fill_answer(question, &answer);
    else if (error == USHER_ECANCELLED)
        snprintf(answer.message, sizeof(answer.message), "%s", error_text(error));
    else
        inquiry_describe(&question->inquiry, answer.message);
    call_end(&question->call);
    question->callback(question->context, &answer);
    free(question);
}

static void question_on_done(void *ctx, struct inquiry *inquiry)
{
    struct question *question = ctx;
    question_end(question, inquiry->ask.error);
}

static void question_begin(struct call *call)
{
    struct question *question = (struct question *)call;
    inquiry_start(&question->inquiry, call->client, question->kind, question_on_done, question);
}

static void question_cancel(struct call *call)
{
    struct question *question = (struct question *)call;
    inquiry_cancel(&question->inquiry);
    question_end(question, USHER_ECANCELLED);
}

static const struct call_kind question_kind = {.begin = question_begin, .cancel = question_cancel};

int question_start(struct usher_client *client, const struct usher_ask *ask, usher_on_answer *callback, void *context,
                   uint64_t *ret_id)
{
    struct ask_settings settings = {0};
    int error = ask ? ask_settings_parse(ask, &settings, client->message) : 0;
    if (error < 0)
        return error;
    struct question *question = calloc(1, sizeof(*question));
    if (!question)
        return -ENOMEM;
    question->kind = ask ? INQUIRY_ADDRESS : INQUIRY_LOCATION;
    question->callback = callback;
    question->context = context;
    struct wire_address_request *request = &question->inquiry.request;
    request->service_id = settings.service_id;
    request->count = settings.count;
    request->exclude_count = settings.exclude_count;
    memcpy(request->excludes, settings.excludes, sizeof(request->excludes));
    error = call_start(client, &question_kind, &question->call);
    if (error < 0) {
        free(question);
        return error;
    }
    *ret_id = question->call.id;
    return 0;
}
