/* bench-feed - stands in for usher-rm towards dispatchers, with as many nodes, load reports and changes as a measurement wants. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bench/feed/feeder.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/conf/conf.h"
#include "core/io/poll.h"

struct feed_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/feed/options.def"
#undef OPTION
};

static const struct conf_option feed_rows[] = {
#define OPTION(...) CONF_ROW(struct feed_options, __VA_ARGS__)
#include "bench/feed/options.def"
#undef OPTION
};

static const struct conf_table feed_tables[] = {{.title = "Options", .rows = feed_rows, .row_count = ARRAY_COUNT(feed_rows)}};

static const struct conf_program feed_program = {
    .name = "bench-feed",
    .summary = "stands in for a resource manager, with any number of made-up nodes",
    .description =
        "Dispatchers subscribe to it as they would to usher-rm, and get a list of made-up nodes, load reports and changes "
        "of the membership. Prints a line with its address when it is ready, and what it has sent at the end.",
    .man_section = 1,
    .options_bytes = sizeof(struct feed_options),
    .tables = feed_tables,
    .table_count = ARRAY_COUNT(feed_tables),
};

/* What ends the run. */
struct feed_end {
    struct loop *loop;
    struct timer timer;
    struct poll_watch signals;
    int signal_fd;
};

static void on_timer(void *ctx, struct timer *timer)
{
    (void)timer;
    loop_stop(ctx);
}

static void on_signal(void *ctx, struct poll_watch *watch, uint32_t ready)
{
    struct signalfd_siginfo signal;
    (void)ready;
    if (read(watch->fd, &signal, sizeof(signal)) > 0)
        loop_stop(ctx);
}

static int end_open(struct feed_end *end, uint64_t duration_ns)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    end->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (end->signal_fd < 0)
        return -errno;
    timer_init(&end->timer, on_timer, end->loop);
    if (duration_ns)
        timer_start(end->loop, &end->timer, loop_now_ns(end->loop) + duration_ns);
    return poll_start(end->loop, &end->signals, end->signal_fd, POLLIN, on_signal, end->loop);
}

static void end_close(struct feed_end *end)
{
    timer_stop(&end->timer);
    poll_stop(&end->signals);
    if (end->signal_fd >= 0)
        close(end->signal_fd);
}

static void report(const struct feed_options *options, const struct feeder *feeder)
{
    const struct feeder_stats *stats = &feeder->stats;
    double seconds = (double)(loop_now_ns(feeder->config.loop) - feeder->started_ns) / (double)NS_PER_S;
    double late_ms = (double)stats->late_max_ns / (double)NS_PER_MS;
    if (!options->json) {
        printf("%.1f s: %lu load reports, %lu changes, %lu deltas, %lu full lists, %lu heartbeats, %lu refused, %lu too slow, "
               "latest tick %.1f ms late\n",
               seconds, stats->updates, stats->changes, stats->frames, stats->lists, stats->heartbeats, stats->refused,
               stats->dropped, late_ms);
        return;
    }
    json_t *object = json_pack(
        "{s:f, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:f}", "duration_s", seconds, "nodes", (int)options->nodes, "updates",
        (json_int_t)stats->updates, "changes", (json_int_t)stats->changes, "deltas", (json_int_t)stats->frames, "lists",
        (json_int_t)stats->lists, "heartbeats", (json_int_t)stats->heartbeats, "refused", (json_int_t)stats->refused, "dropped",
        (json_int_t)stats->dropped, "subscribers", (int)feeder_subscriber_count(feeder), "late_ms_max", late_ms);
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static int feed_run(const struct feed_options *options, struct loop *loop, const char **ret_step)
{
    struct feeder *feeder;
    struct feed_end end = {.loop = loop, .signal_fd = -1};
    char address[ADDRESS_TEXT_BYTES];
    struct feeder_config config = {
        .loop = loop,
        .listen = options->listen,
        .region = (uint16_t)options->region,
        .updates_per_s = options->updates_per_s,
        .changes_per_s = options->changes_per_s,
        .fleet =
            {
                .node_count = options->nodes,
                .service_count = options->services,
                .services_per_node = options->services_per_node,
                .below = (float)options->below,
                .seed = options->seed,
            },
    };
    *ret_step = "cannot listen there";
    int error = feeder_new(&config, &feeder);
    if (error < 0)
        return error;
    *ret_step = "cannot run";
    error = end_open(&end, options->duration_ns);
    if (error == 0) {
        printf("%s\n", address_format(feeder_address(feeder), address));
        fflush(stdout);
        error = loop_run(loop);
    }
    if (error == 0)
        report(options, feeder);
    end_close(&end);
    feeder_free(feeder);
    return error;
}

int main(int argc, char **argv)
{
    struct feed_options options;
    struct conf_error why;
    struct loop_config config;
    struct loop *loop = NULL;
    const char *step = "cannot start";
    conf_open_streams();
    int error = conf_parse(&feed_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return conf_finish_output(feed_program.name);
    if (error < 0)
        return conf_fail(feed_program.name, &why);
    loop_config_init(&config);
    error = loop_new(&config, &loop);
    if (error == 0)
        error = feed_run(&options, loop, &step);
    loop_free(loop);
    conf_done(&feed_program, &options);
    if (error == 0)
        return conf_finish_output(feed_program.name);
    fprintf(stderr, "%s: %s: %s\n", feed_program.name, step, error_text(error));
    return EXIT_CODE_FAILED;
}
