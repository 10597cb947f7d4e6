#include "client/job_call.h"

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

enum job_call_state {
    JOB_CALL_PAUSING, /* the timer asks for an address */
    JOB_CALL_ASKING, /* the inquiry is under way */
    JOB_CALL_CONNECTING, /* the timer gives up */
    JOB_CALL_WAITING, /* the job was sent; the timer gives it up for lost */
};

struct job_call {
    struct call call;
    enum job_call_state state;
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
    bool answering; /* a part of the result has come from the node of this try */
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

static uint64_t job_call_now_ns(const struct job_call *job_call)
{
    return loop_now_ns(job_call->call.client->loop);
}

/* A connection serves one job. One that is closed before the answer has come cancels its job on the node. */
static void job_call_disconnect(struct job_call *job_call)
{
    if (!job_call->stream)
        return;
    stream_set_handlers(job_call->stream, NULL, NULL);
    stream_abort(job_call->stream);
    job_call->stream = NULL;
}

static void job_call_end(struct job_call *job_call, int error, enum job_started started)
{
    struct usher_client *client = job_call->call.client;
    struct usher_result result = {
        .error = error,
        .started = (enum usher_started)started,
        .data = job_call->result.bytes,
        .data_bytes = job_call->result.length,
        .region = job_call->region,
        .attempts = job_call->job.tries,
        .service_time_ms = job_call->job.service_time_ms,
        .waited_us = job_call->waited_us,
        .ran_us = job_call->ran_us,
        .elapsed_us = call_elapsed_us(&job_call->call),
    };
    job_call_disconnect(job_call);
    if (error < 0)
        memcpy(result.message, job_call->message, sizeof(result.message));
    if (job_call->job.tries > 0) {
        address_format(&job_call->job.node, result.node);
        address_format(&job_call->dispatcher, result.dispatcher);
    }
    if (error < 0)
        client->stats.job_failures++;
    call_end(&job_call->call);
    job_call->callback(job_call->context, &result);
    buffer_done(&job_call->data);
    buffer_done(&job_call->result);
    free(job_call);
}

static void job_call_ask(struct job_call *job_call);

static void job_call_step(struct job_call *job_call, enum job_step step)
{
    switch (step) {
    case JOB_ASK: job_call_ask(job_call); return;
    case JOB_PAUSE:
        job_call->state = JOB_CALL_PAUSING;
        timer_start(job_call->call.client->loop, &job_call->call.timer, job_call->job.resume_at_ns);
        return;
    case JOB_DONE: job_call_end(job_call, job_call->job.error, job_call->job.started); return;
    }
}

/* Over with this node, for now or for good: the connection goes, and the next request tells dispatchers how it went. */
static void job_call_leave_node(struct job_call *job_call, enum wire_outcome outcome)
{
    struct usher_client *client = job_call->call.client;
    uint64_t latency_us = (job_call_now_ns(job_call) - job_call->tried_at_ns) / NS_PER_US;
    timer_stop(&job_call->call.timer);
    job_call_disconnect(job_call);
    client_tell(client, &job_call->job.node, outcome, latency_us);
    if (outcome != WIRE_OUTCOME_OK)
        job_call->result.length = 0;
}

__attribute__((format(printf, 2, 3))) static void job_call_explain(struct job_call *job_call, const char *format, ...)
{
    char node[ADDRESS_TEXT_BYTES], text[USHER_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(job_call->message, sizeof(job_call->message), "node %s: %.200s", address_format(&job_call->job.node, node), text);
}

/* Of a job that was sent: whoever has a part of its result knows that it was started. */
static enum job_started job_call_started(const struct job_call *job_call)
{
    return job_call->answering ? JOB_STARTED : JOB_MAYBE_STARTED;
}

static const char *job_call_started_text(enum job_started started)
{
    return started == JOB_STARTED ? "the job had started" : "the job may have started";
}

/* error: a negative errno, or 0 when the peer closed the connection before the job had been sent. */
static void job_call_unreached(struct job_call *job_call, int error)
{
    struct usher_client *client = job_call->call.client;
    uint64_t now_ns = job_call_now_ns(job_call);
    job_call_explain(job_call, "cannot connect: %s", error_text(error ? error : -ECONNRESET));
    job_call_leave_node(job_call, error == -ETIMEDOUT ? WIRE_OUTCOME_TIMEOUT : WIRE_OUTCOME_FAILED);
    if (error == -ETIMEDOUT)
        nodes_on_timeout(&client->nodes, &job_call->job.node, now_ns);
    else if (!exchange_is_local_error(error))
        nodes_on_refusal(&client->nodes, &job_call->job.node, now_ns);
    job_call_step(job_call, job_on_unreached(&job_call->job, USHER_ECONNECTION, now_ns, &client->random));
}

/* error: as above, or -ETIMEDOUT when no answer came in time. */
static void job_call_lost(struct job_call *job_call, int error)
{
    struct usher_client *client = job_call->call.client;
    uint64_t now_ns = job_call_now_ns(job_call);
    bool timeout = error == -ETIMEDOUT;
    enum job_started started = job_call_started(job_call);
    const char *started_text = job_call_started_text(started);
    if (timeout)
        job_call_explain(job_call, "no %s within wait and service time; %s", job_call->answering ? "whole result" : "answer",
                         started_text);
    else
        job_call_explain(job_call, "the connection broke before the %s (%s); %s",
                         job_call->answering ? "end of the result" : "answer", error ? error_text(error) : "closed by the node",
                         started_text);
    job_call_leave_node(job_call, timeout ? WIRE_OUTCOME_TIMEOUT : WIRE_OUTCOME_FAILED);
    if (timeout)
        nodes_on_timeout(&client->nodes, &job_call->job.node, now_ns);
    else
        nodes_on_refusal(&client->nodes, &job_call->job.node, now_ns);
    job_call_step(job_call,
                  job_on_lost(&job_call->job, timeout ? USHER_ENOANSWER : USHER_ECONNECTION, started, now_ns, &client->random));
}

static void job_call_fail(struct job_call *job_call, int error, const char *text)
{
    enum job_started started = job_call_started(job_call);
    job_call_explain(job_call, "%s; %s", text, job_call_started_text(started));
    job_call_leave_node(job_call, WIRE_OUTCOME_FAILED);
    job_call_end(job_call, error, started);
}

static void job_call_take_result(struct job_call *job_call, const struct frame *frame)
{
    struct wire_result result;
    enum refusal refusal;
    if (wire_result_decode(frame, &result, &refusal) < 0) {
        job_call_fail(job_call, USHER_EPROTOCOL, "it sent a RESULT that is malformed");
        return;
    }
    job_call->answering = true;
    if (job_call->result.length + result.data_length > USHER_RESULT_BYTES_MAX) {
        job_call_fail(job_call, USHER_ERESULTTOOLARGE, error_text(USHER_ERESULTTOOLARGE));
        return;
    }
    if (result.data_length > 0 && buffer_append(&job_call->result, result.data, result.data_length) < 0) {
        job_call_fail(job_call, -ENOMEM, "no memory for the result");
        return;
    }
    if (result.more)
        return;
    job_call->waited_us = result.waited_us;
    job_call->ran_us = result.ran_us;
    nodes_on_answer(&job_call->call.client->nodes, &job_call->job.node);
    job_call_leave_node(job_call, WIRE_OUTCOME_OK);
    job_call_step(job_call, job_on_result(&job_call->job));
}

static void job_call_take_busy(struct job_call *job_call, const struct frame *frame)
{
    struct usher_client *client = job_call->call.client;
    struct wire_busy busy;
    enum refusal refusal;
    if (wire_busy_decode(frame, &busy, &refusal) < 0) {
        job_call_fail(job_call, USHER_EPROTOCOL, "it sent a BUSY that is malformed");
        return;
    }
    job_call_explain(job_call, "its job queue is full (%u jobs)", busy.queued);
    job_call_leave_node(job_call, WIRE_OUTCOME_FAILED);
    job_call_step(job_call,
                  job_on_busy(&job_call->job, busy.retry_after_ms, &client->budget, job_call_now_ns(job_call), &client->random));
}

static void job_call_take_error(struct job_call *job_call, const struct frame *frame)
{
    struct usher_client *client = job_call->call.client;
    struct wire_error error;
    enum refusal refusal;
    if (wire_error_decode(frame, &error, &refusal) < 0) {
        job_call_fail(job_call, USHER_EPROTOCOL, "it sent an ERROR that is malformed");
        return;
    }
    int code = wire_error_to_error(error.code);
    job_call_explain(job_call, "%s", error.text_length > 0 ? error.text : error_text(code));
    job_call_leave_node(job_call, WIRE_OUTCOME_FAILED);
    job_call_step(job_call, job_on_error(&job_call->job, code, error.started, job_call_now_ns(job_call), &client->random));
}

/* The stream is gone, or another, when a frame ended the try. */
static void job_call_take_frame(struct job_call *job_call, const struct frame *frame)
{
    if (frame->request_id != job_call->request_id)
        return;
    switch (frame->type) {
    case FRAME_TYPE_RESULT: job_call_take_result(job_call, frame); return;
    case FRAME_TYPE_BUSY: job_call_take_busy(job_call, frame); return;
    case FRAME_TYPE_ERROR: job_call_take_error(job_call, frame); return;
    default: return; /* of a newer version */
    }
}

static size_t job_call_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct job_call *job_call = ctx;
    struct frame frame;
    enum refusal refusal;
    size_t offset = 0;
    while (offset < length) {
        int taken = frame_decode_stream(bytes + offset, length - offset, &frame, &refusal);
        if (taken == -EAGAIN)
            return offset;
        if (taken < 0) {
            job_call_fail(job_call, USHER_EPROTOCOL, "what it sent is not our protocol");
            return length;
        }
        offset += (size_t)taken;
        /* A frame that ends the try frees the job_call, perhaps. */
        job_call_take_frame(job_call, &frame);
        if (stream_ctx(stream) != job_call)
            return length;
    }
    return offset;
}

static void job_call_send(struct job_call *job_call)
{
    struct usher_client *client = job_call->call.client;
    uint64_t now_ns = job_call_now_ns(job_call);
    uint8_t head[JOB_HEAD_BYTES];
    struct wire_job job = {
        .client_id = client->client_id,
        .job_id = job_call->job_id,
        .service_id = job_call->service_id,
        .dispatcher_boot_id = job_call->dispatcher_boot_id,
        .service_time_ms = job_call->job.service_time_ms,
        .wait_ms = job_wait_left_ms(&job_call->job, now_ns),
        .data_length = (uint32_t)job_call->data.length,
    };
    int error = wire_job_encode_head(&job, job_call->request_id, head, sizeof(head));
    if (error > 0)
        error = stream_send(job_call->stream, head, sizeof(head));
    if (error == 0 && job_call->data.length > 0)
        error = stream_send(job_call->stream, job_call->data.bytes, job_call->data.length);
    if (error < 0) {
        job_call_unreached(job_call, error);
        return;
    }
    job_call->state = JOB_CALL_WAITING;
    timer_start(client->loop, &job_call->call.timer, job_answer_by_ns(&job_call->job, now_ns));
}

static void job_call_on_open(void *ctx, struct stream *stream)
{
    (void)stream;
    job_call_send(ctx);
}

static void job_call_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)stream;
    struct job_call *job_call = ctx;
    job_call->stream = NULL;
    if (job_call->state == JOB_CALL_CONNECTING)
        job_call_unreached(job_call, error);
    else
        job_call_lost(job_call, error);
}

static const struct stream_handlers job_call_handlers = {
    .on_open = job_call_on_open,
    .on_bytes = job_call_on_bytes,
    .on_closed = job_call_on_closed,
};

static void job_call_connect(struct job_call *job_call)
{
    struct usher_client *client = job_call->call.client;
    uint64_t now_ns = job_call_now_ns(job_call);
    struct stream_config config;
    stream_config_init(&config);
    config.address = job_call->job.node;
    config.bind = client->settings.bind;
    config.reset = true;
    if (config.bind.family != config.address.family)
        config.bind = (struct address){0};
    config.handlers = &job_call_handlers;
    config.ctx = job_call;
    job_call->state = JOB_CALL_CONNECTING;
    job_call->tried_at_ns = now_ns;
    job_call->answering = false;
    /* Every try has an ID of its own: a node refuses one that it has seen. */
    job_call->job_id = ++client->job_id_last;
    job_call->request_id = random_next(&client->random);
    int error = stream_connect(client->loop, &config, &job_call->stream);
    if (error < 0) {
        job_call->stream = NULL;
        job_call_unreached(job_call, error);
        return;
    }
    timer_start(client->loop, &job_call->call.timer, now_ns + JOB_CONNECT_NS);
}

static void job_call_on_answer(void *ctx, struct inquiry *inquiry)
{
    struct job_call *job_call = ctx;
    struct usher_client *client = job_call->call.client;
    if (inquiry->ask.error < 0) {
        bool known = inquiry->ask.error == USHER_EUNREACHABLE ? client->locate.known
                                                              : map_get(&client->served, &job_call->service_id) != MAP_NONE;
        bool excluded = inquiry->request.exclude_count > job_call->job.exclude_count;
        if (job_call->job.tries == 0)
            inquiry_describe(inquiry, job_call->message);
        job_call_step(job_call, job_on_no_address(&job_call->job, inquiry->ask.error, known || excluded,
                                                  job_call_now_ns(job_call), &client->random));
        return;
    }
    const struct wire_address_entry *entry = &inquiry->reply.entries[0];
    job_call->dispatcher = inquiry->ask.choice.address;
    job_call->dispatcher_boot_id = inquiry->reply.boot_id;
    job_call->region = inquiry->reply.region;
    if (job_call->job.tries > 0)
        client->stats.job_retries++;
    job_on_address(&job_call->job, &entry->address);
    if (entry->state & WIRE_ADDRESS_NO_ECHO) {
        job_call_explain(job_call, "an attached server, which takes no Usher jobs; use its address itself (usher ask)");
        job_call_end(job_call, USHER_ENOTACCEPTED, job_call->job.started);
        return;
    }
    job_call_connect(job_call);
}

static void job_call_ask(struct job_call *job_call)
{
    struct usher_client *client = job_call->call.client;
    struct wire_address_request *request = &job_call->inquiry.request;
    request->service_id = job_call->service_id;
    request->count = 1; /* C8: an answer is used for one job */
    memcpy(request->excludes, job_call->job.excludes, sizeof(request->excludes));
    request->exclude_count = (uint8_t)nodes_exclude(&client->nodes, job_call_now_ns(job_call), request->excludes,
                                                    job_call->job.exclude_count, EXCLUDES_MAX);
    job_call->state = JOB_CALL_ASKING;
    inquiry_start(&job_call->inquiry, client, INQUIRY_ADDRESS, job_call_on_answer, job_call);
}

static void job_call_on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    struct job_call *job_call = ctx;
    switch (job_call->state) {
    case JOB_CALL_PAUSING: job_call_ask(job_call); return;
    case JOB_CALL_ASKING: return; /* the inquiry has timers of its own */
    case JOB_CALL_CONNECTING: job_call_unreached(job_call, -ETIMEDOUT); return;
    case JOB_CALL_WAITING: job_call_lost(job_call, -ETIMEDOUT); return;
    }
}

static void job_call_begin(struct call *call)
{
    struct job_call *job_call = (struct job_call *)call;
    timer_init(&call->timer, job_call_on_timer, job_call);
    job_begin(&job_call->job, &job_call->description, call->started_at_ns, &call->client->random);
    job_call_ask(job_call);
}

static void job_call_cancel(struct call *call)
{
    struct job_call *job_call = (struct job_call *)call;
    inquiry_cancel(&job_call->inquiry);
    snprintf(job_call->message, sizeof(job_call->message), "%s", error_text(USHER_ECANCELLED));
    job_call_end(job_call, USHER_ECANCELLED,
                 job_call->state == JOB_CALL_WAITING ? job_call_started(job_call) : job_call->job.started);
}

static const struct call_kind job_call_kind = {.begin = job_call_begin, .cancel = job_call_cancel};

int job_call_start(struct usher_client *client, const struct usher_job *job, usher_on_result *callback, void *context,
                   uint64_t *ret_id)
{
    struct job_settings settings;
    int error = job_settings_parse(job, &settings, client->message);
    if (error < 0)
        return error;
    struct job_call *job_call = calloc(1, sizeof(*job_call));
    if (!job_call)
        return -ENOMEM;
    job_call->description = (struct job_description){
        .wait_ns = settings.wait_ns,
        .service_time_min_ms = settings.service_time_min_ms,
        .service_time_max_ms = settings.service_time_max_ms,
        .idempotent = job->idempotent,
    };
    job_call->service_id = settings.service_id;
    job_call->callback = callback;
    job_call->context = context;
    error = job->data_bytes > 0 ? buffer_append(&job_call->data, job->data, job->data_bytes) : 0;
    if (error == 0)
        error = call_start(client, &job_call_kind, &job_call->call);
    if (error < 0) {
        buffer_done(&job_call->data);
        free(job_call);
        return error;
    }
    client->stats.jobs++;
    *ret_id = job_call->call.id;
    return 0;
}
