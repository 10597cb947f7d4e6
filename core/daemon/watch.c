/* What others may see of a daemon: its health, /metrics and /healthz. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/version.h"
#include "core/daemon/internal.h"
#include "core/daemon/metrics.h"

#define ACCEPTS_LOOK_NS (5 * NS_PER_S)
#define ACCEPTS_TELL_NS (60 * NS_PER_S)

bool daemon_healthy(const struct daemon *daemon, char ret_reason[static DAEMON_REASON_BYTES])
{
    ret_reason[0] = '\0';
    if (daemon->draining) {
        snprintf(ret_reason, DAEMON_REASON_BYTES, "draining");
        return false;
    }
    return !daemon->program->healthy || daemon->program->healthy(daemon->state, ret_reason);
}

void daemon_measure(struct daemon *daemon, struct measures *ret_measures)
{
    char reason[DAEMON_REASON_BYTES];
    struct gauges *gauges = &ret_measures->gauges;
    *ret_measures = (struct measures){.gauges = {.count = 0}};
    measures_add_loop(ret_measures, daemon->loop);
    gauge_set(gauges, GAUGE_START_TIME, (double)daemon->start_wall_ms / 1000.0);
    gauge_set(gauges, GAUGE_DRAINING, daemon->draining);
    gauge_set(gauges, GAUGE_HEALTHY, daemon_healthy(daemon, reason));
    gauge_set(gauges, GAUGE_LAST_RELOAD_SUCCESS, !daemon->reload_failed);
    gauge_set_labelled(gauges, GAUGE_IO_BACKEND, 1, (const char *const[]){loop_kind_name(daemon->loop)});
    gauge_set_labelled(gauges, GAUGE_BUILD, 1, (const char *const[]){USHER_VERSION});
    if (daemon->program->measure)
        daemon->program->measure(daemon->state, ret_measures);
}

/* Loops only count what they could not accept; the log is told here. */
static void on_accepts_time(void *ctx, struct timer *timer)
{
    struct daemon *daemon = ctx;
    struct measures measures;
    uint64_t now_ns = loop_now_ns(daemon->loop);
    daemon_measure(daemon, &measures);
    uint64_t failed = measures.loops[LOOP_STAT_accept_errors] + measures.loops[LOOP_STAT_accepts_refused];
    measures_done(&measures);
    if (failed > daemon->accepts_failed &&
        (daemon->accepts_told_ns == 0 || now_ns - daemon->accepts_told_ns >= ACCEPTS_TELL_NS)) {
        LOG(MESSAGE_ACCEPTS_FAILED, LOG_NUMBER("times", failed - daemon->accepts_failed));
        daemon->accepts_failed = failed;
        daemon->accepts_told_ns = now_ns;
    }
    timer_start(daemon->loop, timer, now_ns + ACCEPTS_LOOK_NS);
}

void daemon_watch_accepts(struct daemon *daemon)
{
    timer_init(&daemon->accepts_timer, on_accepts_time, daemon);
    timer_start(daemon->loop, &daemon->accepts_timer, loop_now_ns(daemon->loop) + ACCEPTS_LOOK_NS);
}

static int answer_metrics(struct daemon *daemon, struct http_answer *answer)
{
    struct measures measures;
    daemon_measure(daemon, &measures);
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    int error = metrics_print(&measures, daemon->program->counter_program, &answer->body);
    measures_done(&measures);
    return error;
}

static int answer_health(struct daemon *daemon, struct http_answer *answer)
{
    char reason[DAEMON_REASON_BYTES];
    if (daemon_healthy(daemon, reason))
        return buffer_print(&answer->body, "ok%s%s\n", reason[0] ? ", but " : "", reason);
    answer->status = 503;
    return buffer_print(&answer->body, "%s\n", reason);
}

/* What the daemon has for HTTP itself comes before. */
static int on_request(void *context, const struct http_request *request, struct http_answer *answer)
{
    struct daemon *daemon = context;
    bool watch = strcmp(request->path, "/metrics") == 0 || strcmp(request->path, "/healthz") == 0;
    if (!watch && daemon->program->http)
        return daemon->program->http(daemon->state, request, answer);
    if (!watch) {
        answer->status = 404;
        return buffer_print(&answer->body, "nothing here; there are /metrics and /healthz\n");
    }
    if (request->verb != HTTP_VERB_GET) {
        answer->status = 405;
        answer->allow = "GET, HEAD";
        return buffer_print(&answer->body, "%s is only there to be read: use GET\n", request->path);
    }
    return strcmp(request->path, "/metrics") == 0 ? answer_metrics(daemon, answer) : answer_health(daemon, answer);
}

int daemon_open_http(struct daemon *daemon, struct conf_error *ret_error)
{
    struct http_config config = {
        .loop = daemon->loop,
        .address = daemon->own->http,
        .body_bytes_max = daemon->program->http ? daemon->program->http_body_bytes_max : 0,
        .connections_max = daemon->program->http ? daemon->program->http_connections_max : HTTP_CONNECTIONS_MAX,
        .on_request = on_request,
        .context = daemon,
    };
    if (daemon->own->http.family == ADDRESS_NONE)
        return 0;
    int error = http_server_new(&config, &daemon->http);
    return error < 0 ? daemon_fail_listen(ret_error, "http", &daemon->own->http, error) : 0;
}
