#include "client/errand.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/job.h"
#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/stream.h"
#include "core/wire/job.h"

enum errand_state {
    ERRAND_PAUSING, /* the timer asks for an address */
    ERRAND_ASKING, /* the inquiry is under way */
    ERRAND_CONNECTING, /* the timer gives up */
    ERRAND_WAITING, /* the job was sent; the timer gives it up for lost */
};

struct errand {
    struct call call;
    enum errand_state state;
    struct job job;
    struct job_description description;
    uint64_t service_id;
    struct inquiry inquiry;
    struct stream *stream; /* NULL: none */
    struct buffer data;
    struct buffer result;
    uint64_t job_id; /* of the try under way: a node runs each once */
    uint64_t request_id; /* likewise */
    uint64_t tried_at_ns;
    uint32_t waited_us;
    uint32_t ran_us;
    struct address dispatcher; /* that named the node */
    uint64_t dispatcher_boot_id;
    uint16_t region;
    char message[USHER_MESSAGE_BYTES]; /* why the last try failed */
    usher_on_result *callback;
    void *context;
};

_Static_assert((int)USHER_NOT_STARTED == (int)JOB_NOT_STARTED && (int)USHER_STARTED == (int)JOB_STARTED &&
                   (int)USHER_MAYBE_STARTED == (int)JOB_MAYBE_STARTED,
               "the public header says the same");

static uint64_t errand_now_ns(const struct errand *errand)
{
    return loop_now_ns(errand->call.client->loop);
}

/* A connection serves one job. One that is closed before the answer has come cancels its job on the node. */
static void errand_disconnect(struct errand *errand)
{
    if (!errand->stream)
        return;
    stream_set_handlers(errand->stream, NULL, NULL);
    stream_abort(errand->stream);
    errand->stream = NULL;
}

static void errand_end(struct errand *errand, int error, enum job_started started)
{
    struct usher_client *client = errand->call.client;
    struct usher_result result = {
        .error = error,
        .started = (enum usher_started)started,
        .data = errand->result.bytes,
        .data_bytes = errand->result.length,
        .region = errand->region,
        .attempts = errand->job.tries,
        .service_time_ms = errand->job.service_time_ms,
        .waited_us = errand->waited_us,
        .ran_us = errand->ran_us,
        .elapsed_us = call_elapsed_us(&errand->call),
    };
    errand_disconnect(errand);
    if (error < 0)
        memcpy(result.message, errand->message, sizeof(result.message));
    if (errand->job.tries > 0) {
        address_format(&errand->job.node, result.node);
        address_format(&errand->dispatcher, result.dispatcher);
    }
    if (error < 0)
        client->stats.job_failures++;
    call_end(&errand->call);
    errand->callback(errand->context, &result);
    buffer_done(&errand->data);
    buffer_done(&errand->result);
    free(errand);
}

static void errand_ask(struct errand *errand);

static void errand_step(struct errand *errand, enum job_step step)
{
    switch (step) {
    case JOB_ASK: errand_ask(errand); return;
    case JOB_PAUSE:
        errand->state = ERRAND_PAUSING;
        timer_start(errand->call.client->loop, &errand->call.timer, errand->job.resume_at_ns);
        return;
    case JOB_DONE: errand_end(errand, errand->job.error, errand->job.started); return;
    }
}

/* Over with this node, for now or for good: the connection goes, and the next request tells dispatchers how it went. */
static void errand_leave_node(struct errand *errand, enum wire_outcome outcome)
{
    struct usher_client *client = errand->call.client;
    uint64_t latency_us = (errand_now_ns(errand) - errand->tried_at_ns) / NS_PER_US;
    timer_stop(&errand->call.timer);
    errand_disconnect(errand);
    client->has_feedback = true;
    client->feedback = (struct wire_feedback){
        .node = errand->job.node,
        .outcome = (uint8_t)outcome,
        .latency_us = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX,
    };
    if (outcome != WIRE_OUTCOME_OK)
        errand->result.length = 0;
}

__attribute__((format(printf, 2, 3))) static void errand_explain(struct errand *errand, const char *format, ...)
{
    char node[ADDRESS_TEXT_BYTES], text[USHER_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(errand->message, sizeof(errand->message), "node %s: %.200s", address_format(&errand->job.node, node), text);
}

/* error: a negative errno, or 0 when the peer closed the connection before the job had been sent. */
static void errand_unreached(struct errand *errand, int error)
{
    struct usher_client *client = errand->call.client;
    uint64_t now_ns = errand_now_ns(errand);
    errand_explain(errand, "cannot connect: %s", error_text(error ? error : -ECONNRESET));
    errand_leave_node(errand, error == -ETIMEDOUT ? WIRE_OUTCOME_TIMEOUT : WIRE_OUTCOME_FAILED);
    if (error == -ETIMEDOUT)
        nodes_on_timeout(&client->nodes, &errand->job.node, now_ns);
    else if (!exchange_is_local_error(error))
        nodes_on_refusal(&client->nodes, &errand->job.node, now_ns);
    errand_step(errand, job_on_unreached(&errand->job, USHER_ECONNECTION, now_ns, &client->random));
}

/* error: as above, or -ETIMEDOUT when no answer came in time. */
static void errand_lost(struct errand *errand, int error)
{
    struct usher_client *client = errand->call.client;
    uint64_t now_ns = errand_now_ns(errand);
    bool timeout = error == -ETIMEDOUT;
    if (timeout)
        errand_explain(errand, "no answer within wait and service time; the job may have started");
    else
        errand_explain(errand, "the connection broke before the answer (%s); the job may have started",
                       error ? error_text(error) : "closed by the node");
    errand_leave_node(errand, timeout ? WIRE_OUTCOME_TIMEOUT : WIRE_OUTCOME_FAILED);
    if (timeout)
        nodes_on_timeout(&client->nodes, &errand->job.node, now_ns);
    else
        nodes_on_refusal(&client->nodes, &errand->job.node, now_ns);
    errand_step(errand, job_on_lost(&errand->job, timeout ? -ETIMEDOUT : USHER_ECONNECTION, now_ns, &client->random));
}

static void errand_fail(struct errand *errand, int error, const char *text)
{
    errand_explain(errand, "%s; the job may have started", text);
    errand_leave_node(errand, WIRE_OUTCOME_FAILED);
    errand_end(errand, error, JOB_MAYBE_STARTED);
}

static void errand_take_result(struct errand *errand, const struct frame *frame)
{
    struct wire_result result;
    enum refusal refusal;
    if (wire_result_decode(frame, &result, &refusal) < 0) {
        errand_fail(errand, USHER_EPROTOCOL, "it sent a RESULT that is malformed");
        return;
    }
    if (errand->result.length + result.data_length > USHER_RESULT_BYTES_MAX) {
        errand_fail(errand, -EMSGSIZE, "the result is longer than a client takes");
        return;
    }
    if (result.data_length > 0 && buffer_append(&errand->result, result.data, result.data_length) < 0) {
        errand_fail(errand, -ENOMEM, "no memory for the result");
        return;
    }
    if (result.more)
        return;
    errand->waited_us = result.waited_us;
    errand->ran_us = result.ran_us;
    nodes_on_answer(&errand->call.client->nodes, &errand->job.node);
    errand_leave_node(errand, WIRE_OUTCOME_OK);
    errand_step(errand, job_on_result(&errand->job));
}

static void errand_take_busy(struct errand *errand, const struct frame *frame)
{
    struct usher_client *client = errand->call.client;
    struct wire_busy busy;
    enum refusal refusal;
    if (wire_busy_decode(frame, &busy, &refusal) < 0) {
        errand_fail(errand, USHER_EPROTOCOL, "it sent a BUSY that is malformed");
        return;
    }
    errand_explain(errand, "its job queue is full (%u jobs)", busy.queued);
    errand_leave_node(errand, WIRE_OUTCOME_FAILED);
    errand_step(errand, job_on_busy(&errand->job, busy.retry_after_ms, &client->budget, errand_now_ns(errand), &client->random));
}

static void errand_take_error(struct errand *errand, const struct frame *frame)
{
    struct usher_client *client = errand->call.client;
    struct wire_error error;
    enum refusal refusal;
    if (wire_error_decode(frame, &error, &refusal) < 0) {
        errand_fail(errand, USHER_EPROTOCOL, "it sent an ERROR that is malformed");
        return;
    }
    int code = wire_error_to_error(error.code);
    errand_explain(errand, "%s", error.text_length > 0 ? error.text : error_text(code));
    errand_leave_node(errand, WIRE_OUTCOME_FAILED);
    errand_step(errand, job_on_error(&errand->job, code, error.started, errand_now_ns(errand), &client->random));
}

/* The stream is gone, or another, when a frame ended the try. */
static void errand_take_frame(struct errand *errand, const struct frame *frame)
{
    if (frame->request_id != errand->request_id)
        return;
    switch (frame->type) {
    case FRAME_TYPE_RESULT: errand_take_result(errand, frame); return;
    case FRAME_TYPE_BUSY: errand_take_busy(errand, frame); return;
    case FRAME_TYPE_ERROR: errand_take_error(errand, frame); return;
    default: return; /* of a newer version */
    }
}

static size_t errand_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct errand *errand = ctx;
    struct frame frame;
    enum refusal refusal;
    size_t offset = 0;
    while (offset < length) {
        int taken = frame_decode_stream(bytes + offset, length - offset, &frame, &refusal);
        if (taken == -EAGAIN)
            return offset;
        if (taken < 0) {
            errand_fail(errand, USHER_EPROTOCOL, "what it sent is not our protocol");
            return length;
        }
        offset += (size_t)taken;
        /* A frame that ends the try frees the errand, perhaps. */
        errand_take_frame(errand, &frame);
        if (stream_ctx(stream) != errand)
            return length;
    }
    return offset;
}

static void errand_send(struct errand *errand)
{
    struct usher_client *client = errand->call.client;
    uint64_t now_ns = errand_now_ns(errand);
    uint8_t head[JOB_HEAD_BYTES];
    struct wire_job job = {
        .client_id = client->client_id,
        .job_id = errand->job_id,
        .service_id = errand->service_id,
        .dispatcher_boot_id = errand->dispatcher_boot_id,
        .service_time_ms = errand->job.service_time_ms,
        .wait_ms = job_wait_left_ms(&errand->job, now_ns),
        .data_length = (uint32_t)errand->data.length,
    };
    int error = wire_job_encode_head(&job, errand->request_id, head, sizeof(head));
    if (error > 0)
        error = stream_send(errand->stream, head, sizeof(head));
    if (error == 0 && errand->data.length > 0)
        error = stream_send(errand->stream, errand->data.bytes, errand->data.length);
    if (error < 0) {
        errand_unreached(errand, error);
        return;
    }
    errand->state = ERRAND_WAITING;
    timer_start(client->loop, &errand->call.timer, job_answer_by_ns(&errand->job, now_ns));
}

static void errand_on_open(void *ctx, struct stream *stream)
{
    (void)stream;
    errand_send(ctx);
}

static void errand_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    struct errand *errand = ctx;
    errand->stream = NULL;
    if (errand->state == ERRAND_CONNECTING)
        errand_unreached(errand, error);
    else
        errand_lost(errand, error);
}

static const struct stream_handlers errand_handlers = {
    .on_open = errand_on_open,
    .on_bytes = errand_on_bytes,
    .on_closed = errand_on_closed,
};

static void errand_connect(struct errand *errand)
{
    struct usher_client *client = errand->call.client;
    uint64_t now_ns = errand_now_ns(errand);
    struct stream_config config;
    stream_config_init(&config);
    config.address = errand->job.node;
    config.bind = client->settings.bind;
    config.reset = true;
    if (config.bind.family != config.address.family)
        config.bind = (struct address){0};
    config.handlers = &errand_handlers;
    config.ctx = errand;
    errand->state = ERRAND_CONNECTING;
    errand->tried_at_ns = now_ns;
    /* Every try has an ID of its own: a node refuses one that it has seen. */
    errand->job_id = ++client->job_id_last;
    errand->request_id = random_next(&client->random);
    int error = stream_connect(client->loop, &config, &errand->stream);
    if (error < 0) {
        errand->stream = NULL;
        errand_unreached(errand, error);
        return;
    }
    timer_start(client->loop, &errand->call.timer, now_ns + JOB_CONNECT_NS);
}

static void errand_on_answer(void *ctx, struct inquiry *inquiry)
{
    struct errand *errand = ctx;
    struct usher_client *client = errand->call.client;
    if (inquiry->ask.error < 0) {
        bool known = inquiry->ask.error == USHER_EUNREACHABLE ? client->locate.known
                                                              : map_get(&client->served, &errand->service_id) != MAP_NONE;
        bool excluded = inquiry->request.exclude_count > errand->job.exclude_count;
        if (errand->job.tries == 0)
            inquiry_describe(inquiry, errand->message);
        errand_step(errand, job_on_no_address(&errand->job, inquiry->ask.error, known || excluded, errand_now_ns(errand),
                                              &client->random));
        return;
    }
    const struct wire_address_entry *entry = &inquiry->reply.entries[0];
    errand->dispatcher = inquiry->ask.choice.address;
    errand->dispatcher_boot_id = inquiry->reply.boot_id;
    errand->region = inquiry->reply.region;
    if (errand->job.tries > 0)
        client->stats.job_retries++;
    job_on_address(&errand->job, &entry->address);
    if (entry->state & WIRE_ADDRESS_NO_ECHO) {
        errand_explain(errand, "an attached server, which takes no Usher jobs; use its address itself (usher ask)");
        errand_end(errand, USHER_ENOTACCEPTED, errand->job.started);
        return;
    }
    errand_connect(errand);
}

static void errand_ask(struct errand *errand)
{
    struct usher_client *client = errand->call.client;
    struct wire_address_request *request = &errand->inquiry.request;
    request->service_id = errand->service_id;
    request->count = 1; /* C8: an answer is used for one job */
    memcpy(request->excludes, errand->job.excludes, sizeof(request->excludes));
    request->exclude_count =
        (uint8_t)nodes_exclude(&client->nodes, errand_now_ns(errand), request->excludes, errand->job.exclude_count, EXCLUDES_MAX);
    errand->state = ERRAND_ASKING;
    inquiry_start(&errand->inquiry, client, INQUIRY_ADDRESS, errand_on_answer, errand);
}

static void errand_on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct errand *errand = ctx;
    switch (errand->state) {
    case ERRAND_PAUSING: errand_ask(errand); return;
    case ERRAND_ASKING: return; /* the inquiry has timers of its own */
    case ERRAND_CONNECTING: errand_unreached(errand, -ETIMEDOUT); return;
    case ERRAND_WAITING: errand_lost(errand, -ETIMEDOUT); return;
    }
}

static void errand_begin(struct call *call)
{
    struct errand *errand = (struct errand *)call;
    timer_init(&call->timer, errand_on_timer, errand);
    job_begin(&errand->job, &errand->description, call->started_at_ns, &call->client->random);
    errand_ask(errand);
}

static void errand_cancel(struct call *call)
{
    struct errand *errand = (struct errand *)call;
    inquiry_cancel(&errand->inquiry);
    snprintf(errand->message, sizeof(errand->message), "%s", error_text(USHER_ECANCELLED));
    errand_end(errand, USHER_ECANCELLED, errand->state == ERRAND_WAITING ? JOB_MAYBE_STARTED : errand->job.started);
}

static const struct call_kind errand_kind = {.begin = errand_begin, .cancel = errand_cancel};

int errand_start(struct usher_client *client, const struct usher_job *job, usher_on_result *callback, void *context,
                 uint64_t *ret_id)
{
    struct job_settings settings;
    int error = job_settings_parse(job, &settings, client->message);
    if (error < 0)
        return error;
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand)
        return -ENOMEM;
    errand->description = (struct job_description){
        .wait_ns = settings.wait_ns,
        .service_time_min_ms = settings.service_time_min_ms,
        .service_time_max_ms = settings.service_time_max_ms,
        .idempotent = job->idempotent,
    };
    errand->service_id = settings.service_id;
    errand->callback = callback;
    errand->context = context;
    error = job->data_bytes > 0 ? buffer_append(&errand->data, job->data, job->data_bytes) : 0;
    if (error == 0)
        error = call_start(client, &errand_kind, &errand->call);
    if (error < 0) {
        buffer_done(&errand->data);
        free(errand);
        return error;
    }
    client->stats.jobs++;
    *ret_id = errand->call.id;
    return 0;
}
