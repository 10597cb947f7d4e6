#include "core/node/attach_probe.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/errors.h"
#include "core/http/client.h"
#include "core/io/loop.h"
#include "core/io/stream.h"
#include "core/node/attach_config.h"

/* Of the page that a check gets; what goes beyond is not waited for. */
#define CHECK_BODY_BYTES_MAX (64u << 10)

const char *attach_problem_text(const struct attach_problem *problem, char text[static ATTACH_PROBLEM_BYTES])
{
    static const char *const texts[] = {
        [ATTACH_NO_PROBLEM] = "",
        [ATTACH_NO_ANSWER] = "no answer within --attach-check-timeout",
        [ATTACH_CUT_OFF] = "it closed the connection before its answer was complete",
        [ATTACH_NOT_HTTP] = "what it answers is not HTTP",
        [ATTACH_TOO_LONG] = "its answer is too long: at most 8 KiB of headers, and of a page with metrics 1 MiB",
        [ATTACH_NO_METRIC] = "no line of the page begins with the metric's name",
        [ATTACH_NOT_A_NUMBER] = "the metric is no number from 0 on",
    };
    if (problem->kind == ATTACH_STATUS)
        snprintf(text, ATTACH_PROBLEM_BYTES, "it answered %d", problem->value);
    else if (problem->kind == ATTACH_NOT_CONNECTED)
        snprintf(text, ATTACH_PROBLEM_BYTES, "cannot connect: %s", error_text(problem->value));
    else if (problem->kind == ATTACH_UNABLE)
        snprintf(text, ATTACH_PROBLEM_BYTES, "cannot be checked from here: %s", error_text(problem->value));
    else
        snprintf(text, ATTACH_PROBLEM_BYTES, "%s", texts[problem->kind]);
    return text;
}

/* What a server can't help. */
static bool is_our_trouble(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS || error == -EADDRNOTAVAIL ||
           error == -EADDRINUSE || error == -EACCES || error == -EPERM;
}

static struct attach_problem problem_of(int error)
{
    if (is_our_trouble(error))
        return (struct attach_problem){.kind = ATTACH_UNABLE, .value = error};
    switch (error) {
    case 0: return (struct attach_problem){.kind = ATTACH_NO_PROBLEM};
    case -ETIMEDOUT: return (struct attach_problem){.kind = ATTACH_NO_ANSWER};
    case -ECONNRESET: return (struct attach_problem){.kind = ATTACH_CUT_OFF};
    case USHER_EPROTOCOL: return (struct attach_problem){.kind = ATTACH_NOT_HTTP};
    case USHER_ETOOLARGE: return (struct attach_problem){.kind = ATTACH_TOO_LONG};
    default: return (struct attach_problem){.kind = ATTACH_NOT_CONNECTED, .value = error};
    }
}

static void probe_end(struct attach_probe *probe, struct attach_result *result)
{
    uint64_t now_ns = loop_now_ns(probe->config.loop);
    uint64_t due_ns = probe->started_ns + probe->config.interval_ns;
    result->took_ns = now_ns - probe->started_ns;
    timer_start(probe->config.loop, &probe->timer, due_ns > now_ns ? due_ns : now_ns);
    probe->config.on_result(probe->config.ctx, result);
}

/* ---- a TCP connect ---- */

static void connect_end(struct attach_probe *probe, int error)
{
    struct attach_result result = {.problem = problem_of(error)};
    if (probe->stream != NULL) {
        stream_set_handlers(probe->stream, NULL, NULL);
        stream_abort(probe->stream);
        probe->stream = NULL;
    }
    probe_end(probe, &result);
}

static void on_open(void *ctx, struct stream *stream)
{
    (void)stream;
    connect_end(ctx, 0);
}

static size_t on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    (void)stream;
    (void)bytes;
    return length;
}

static void on_closed(void *ctx, struct stream *stream, int error)
{
    struct attach_probe *probe = ctx;
    (void)stream;
    probe->stream = NULL;
    connect_end(probe, error < 0 ? error : -ECONNRESET);
}

static const struct stream_handlers connect_handlers = {.on_open = on_open, .on_bytes = on_bytes, .on_closed = on_closed};

static int connect_begin(struct attach_probe *probe)
{
    struct stream_config config;
    stream_config_init(&config);
    config.address = probe->config.address;
    config.reset = true; /* a check a second must not leave a port in TIME_WAIT each */
    config.handlers = &connect_handlers;
    config.ctx = probe;
    return stream_connect(probe->config.loop, &config, &probe->stream);
}

/* ---- an HTTP GET ---- */

static void on_response(void *ctx, const struct http_response *response)
{
    struct attach_probe *probe = ctx;
    struct attach_result result = {.problem = problem_of(response->error)};
    if (response->error == 0) {
        result.page = (const char *)response->body;
        result.page_length = response->body_length;
        /* Who is sent elsewhere by a redirection has been served; a page with metrics it is not. */
        if (response->status < 200 || response->status > (probe->config.wants_page ? 299 : 399))
            result.problem = (struct attach_problem){.kind = ATTACH_STATUS, .value = response->status};
    }
    probe_end(probe, &result);
}

/* ---- one after another ---- */

static void probe_begin(struct attach_probe *probe)
{
    probe->started_ns = loop_now_ns(probe->config.loop);
    int r = probe->http != NULL ? http_client_send(probe->http, "GET", probe->config.path, NULL, 0) : connect_begin(probe);
    if (r < 0)
        connect_end(probe, r);
    else if (probe->http == NULL)
        timer_start(probe->config.loop, &probe->timer, probe->started_ns + probe->config.timeout_ns);
}

static void on_timer(void *ctx, struct timer *timer)
{
    struct attach_probe *probe = ctx;
    (void)timer;
    if (probe->stream != NULL)
        connect_end(probe, -ETIMEDOUT);
    else
        probe_begin(probe);
}

int attach_probe_start(struct attach_probe *probe, const struct attach_probe_config *config, uint64_t delay_ns)
{
    *probe = (struct attach_probe){.config = *config};
    if (config->path[0] != '\0') {
        struct http_client_config http = {
            .loop = config->loop,
            .address = config->address,
            .discards_body = !config->wants_page,
            .body_bytes_max = config->wants_page ? ATTACH_PAGE_BYTES_MAX : CHECK_BODY_BYTES_MAX,
            .timeout_ns = config->timeout_ns,
            .on_response = on_response,
            .ctx = probe,
        };
        int r = http_client_new(&http, &probe->http);
        if (r < 0)
            return r;
    }
    timer_init(&probe->timer, on_timer, probe);
    timer_start(config->loop, &probe->timer, loop_now_ns(config->loop) + delay_ns);
    return 0;
}

void attach_probe_hurry(struct attach_probe *probe)
{
    if (probe->stream == NULL && timer_is_running(&probe->timer))
        timer_start(probe->config.loop, &probe->timer, loop_now_ns(probe->config.loop));
}

void attach_probe_stop(struct attach_probe *probe)
{
    timer_stop(&probe->timer);
    if (probe->stream != NULL) {
        stream_set_handlers(probe->stream, NULL, NULL);
        stream_abort(probe->stream);
        probe->stream = NULL;
    }
    http_client_free(probe->http);
    probe->http = NULL;
}
