/* The public interface (usher/usher.h): blocking calls on top of the others, and what it takes to look inside. */
#include "client/include/usher/usher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ask_call.h"
#include "client/client.h"
#include "client/job_call.h"
#include "core/base/clock.h"
#include "core/base/errors.h"

_Static_assert(USHER_ERROR_UNREACHABLE == USHER_EUNREACHABLE && USHER_ERROR_NO_NODE == USHER_ENONODE &&
                   USHER_ERROR_NO_SERVICE == USHER_ENOSERVICE && USHER_ERROR_BUSY == USHER_EBUSY &&
                   USHER_ERROR_SERVICE_TIME == USHER_ESERVICETIME && USHER_ERROR_WAIT == USHER_EWAIT &&
                   USHER_ERROR_JOB_FAILED == USHER_EJOBFAILED && USHER_ERROR_CONNECTION == USHER_ECONNECTION &&
                   USHER_ERROR_CANCELLED == USHER_ECANCELLED,
               "the public header repeats core/base/errors.def");

_Static_assert((int)USHER_OUTCOME_OK == (int)WIRE_OUTCOME_OK && (int)USHER_OUTCOME_FAILED == (int)WIRE_OUTCOME_FAILED &&
                   (int)USHER_OUTCOME_TIMEOUT == (int)WIRE_OUTCOME_TIMEOUT,
               "outcomes are those on the wire");

int usher_config_check(const struct usher_config *config, char *ret_message)
{
    char message[USHER_MESSAGE_BYTES];
    struct settings settings;
    return settings_parse(config, &settings, ret_message ? ret_message : message);
}

int usher_client_new(const struct usher_config *config, struct usher_client **ret_client, char *ret_message)
{
    char message[USHER_MESSAGE_BYTES];
    return client_new(NULL, config, ret_client, ret_message ? ret_message : message);
}

const char *usher_client_message(const struct usher_client *client)
{
    return client->message;
}

int usher_client_poll(struct usher_client *client, int timeout_ms)
{
    return loop_run_once(client->loop, timeout_ms < 0 ? LOOP_FOREVER : (uint64_t)timeout_ms * NS_PER_MS);
}

int usher_ask_start(struct usher_client *client, const struct usher_ask *ask, usher_on_answer *callback, void *context,
                    uint64_t *ret_id)
{
    return ask_call_start(client, ask, callback, context, ret_id);
}

int usher_job_start(struct usher_client *client, const struct usher_job *job, usher_on_result *callback, void *context,
                    uint64_t *ret_id)
{
    return job_call_start(client, job, callback, context, ret_id);
}

bool usher_cancel(struct usher_client *client, uint64_t id)
{
    struct call *call = call_find(client, id);
    if (call)
        call->kind->cancel(call);
    return call != NULL;
}

/* Until the call has ended, by its own or because the loop broke. */
static void usher_wait(struct usher_client *client, uint64_t id)
{
    while (call_find(client, id)) {
        if (loop_run_once(client->loop, LOOP_FOREVER) < 0)
            usher_cancel(client, id);
    }
}

static void usher_copy_answer(void *context, const struct usher_answer *answer)
{
    *(struct usher_answer *)context = *answer;
}

static int usher_ask_and_wait(struct usher_client *client, const struct usher_ask *ask, struct usher_answer *ret_answer)
{
    uint64_t id;
    int error = ask_call_start(client, ask, usher_copy_answer, ret_answer, &id);
    if (error < 0) {
        *ret_answer = (struct usher_answer){.error = error};
        snprintf(ret_answer->message, sizeof(ret_answer->message), "%s", error == -EINVAL ? client->message : error_text(error));
        return error;
    }
    usher_wait(client, id);
    return ret_answer->error;
}

int usher_ask(struct usher_client *client, const struct usher_ask *ask, struct usher_answer *ret_answer)
{
    return usher_ask_and_wait(client, ask, ret_answer);
}

int usher_locate(struct usher_client *client, struct usher_answer *ret_answer)
{
    return usher_ask_and_wait(client, NULL, ret_answer);
}

int usher_tell(struct usher_client *client, const char *node, enum usher_outcome outcome, uint64_t latency_us)
{
    struct address address;
    if (!node || address_parse(node, &address) < 0 || address.port == 0) {
        snprintf(client->message, sizeof(client->message), "usher_tell: the node is no \"ip:port\", as answers have it");
        return -EINVAL;
    }
    if ((unsigned)outcome > USHER_OUTCOME_TIMEOUT) {
        snprintf(client->message, sizeof(client->message), "usher_tell: there is no outcome %d", (int)outcome);
        return -EINVAL;
    }
    client_tell(client, &address, (enum wire_outcome)outcome, latency_us);
    return 0;
}

static void usher_copy_result(void *context, const struct usher_result *result)
{
    struct usher_result *copy = context;
    *copy = *result;
    copy->data = NULL;
    if (result->data_bytes == 0)
        return;
    copy->data = malloc(result->data_bytes);
    if (copy->data) {
        memcpy(copy->data, result->data, result->data_bytes);
        return;
    }
    copy->error = -ENOMEM;
    copy->data_bytes = 0;
    snprintf(copy->message, sizeof(copy->message), "no memory for the result");
}

int usher_run(struct usher_client *client, const struct usher_job *job, struct usher_result *ret_result)
{
    uint64_t id;
    int error = job_call_start(client, job, usher_copy_result, ret_result, &id);
    if (error < 0) {
        *ret_result = (struct usher_result){.error = error};
        snprintf(ret_result->message, sizeof(ret_result->message), "%s", error == -EINVAL ? client->message : error_text(error));
        return error;
    }
    usher_wait(client, id);
    return ret_result->error;
}

void usher_result_free(struct usher_result *result)
{
    free(result->data);
    result->data = NULL;
    result->data_bytes = 0;
}

uint16_t usher_client_region(const struct usher_client *client)
{
    return client->dispatchers.own_region;
}

size_t usher_client_dispatchers(const struct usher_client *client, struct usher_dispatcher *ret_dispatchers, size_t capacity)
{
    const struct dispatchers *dispatchers = &client->dispatchers;
    for (uint32_t i = 0; i < dispatchers->count && i < capacity; i++) {
        const struct dispatcher *dispatcher = &dispatchers->items[i];
        address_format(&dispatcher->address, ret_dispatchers[i].address);
        ret_dispatchers[i].region = dispatcher->region;
        ret_dispatchers[i].faulty = dispatcher->faulty;
        ret_dispatchers[i].learned = !dispatcher->configured;
    }
    return dispatchers->count;
}

void usher_client_stats(const struct usher_client *client, struct usher_stats *ret_stats)
{
    const struct dispatchers_stats *dispatchers = &client->dispatchers.stats;
    *ret_stats = client->stats;
    ret_stats->retries_refused = client->budget.refused;
    ret_stats->dispatcher_faults = dispatchers->faults;
    ret_stats->dispatcher_returns = dispatchers->returns;
    ret_stats->region_downs = dispatchers->region_downs;
    ret_stats->region_returns = dispatchers->region_returns;
    ret_stats->node_faults = client->nodes.faults;
}

const char *usher_error_name(int error)
{
    return error_name(error);
}

const char *usher_error_text(int error)
{
    return error_text(error);
}
