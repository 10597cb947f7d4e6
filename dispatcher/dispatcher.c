#include "dispatcher/dispatcher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/log.h"
#include "core/io/port.h"
#include "core/policy/policy.h"
#include "core/report/node_report.h"

/* Who has connected shortly before the ports are closed has so long to send its JOB: the node takes it or refuses it by name. */
#define REFUSE_DELAY_NS (200 * NS_PER_MS)

/* The rms whose lists can be followed; ret_rms may be NULL. Returns how many. */
static uint32_t rms_followed(const struct conf_addresses *rms, struct address *ret_rms)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rms->count; i++) {
        if ((rms->http >> i & 1) != 0)
            continue;
        if (ret_rms)
            ret_rms[count] = rms->item[i];
        count++;
    }
    return count;
}

int dispatcher_check(const void *options, struct conf_error *ret_error)
{
    const struct dispatcher_options *all = options;
    struct node_config node;
    int error = daemon_check_listen(&all->daemon, &all->own.listen, ret_error);
    if (error == 0)
        error = node_config_from_options(&all->node, WIRE_NODE_DISPATCHER, &node, ret_error);
    struct address own = daemon_address_of(&all->daemon, &all->own.listen);
    if (error == 0)
        error = attach_config_check_own(&node.attach, &own, ret_error);
    if (error == 0 && all->own.share_max > 0 && all->own.share_max < 1) {
        conf_error_set(ret_error,
                       "--share-max: %g would leave every node less than its share: choose 1 or more, or 0 for no limit",
                       all->own.share_max);
        error = -EINVAL;
    }
    if (error == 0 && node.queue_factor < 1) {
        conf_error_set(ret_error, "--queue-factor: %g would give this dispatcher more jobs than a worker: choose 1 or more",
                       (double)node.queue_factor);
        error = -EINVAL;
    }
    if (error == 0 && rms_followed(&all->node.rm, NULL) == 0) {
        conf_error_set(ret_error,
                       "--rm: a dispatcher follows the list of an rm at its --listen address, and only http:// is given: "
                       "give one without it too, for example 127.0.0.1:7300");
        error = -EINVAL;
    }
    return error;
}

static uint32_t threads_wanted(uint32_t configured)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads = configured ? configured : cpus > 0 ? (uint32_t)cpus : 1;
    return threads < PUBLICATION_READERS_MAX ? threads : PUBLICATION_READERS_MAX;
}

static uint32_t power_of_two_from(uint32_t number)
{
    uint32_t power = 1;
    while (power < number)
        power *= 2;
    return power;
}

/* ---- node ---- */

static void on_job_connection(void *ctx, struct stream_handoff *handoff)
{
    struct dispatcher *dispatcher = ctx;
    node_hand_over(dispatcher->node, handoff);
}

static void on_drained(void *ctx, struct loop_message *message)
{
    struct dispatcher *dispatcher = ctx;
    (void)message;
    daemon_drained(dispatcher->daemon);
}

/* On the node's thread. */
static void on_node_drained(void *ctx)
{
    struct dispatcher *dispatcher = ctx;
    dispatcher->drained = (struct loop_message){.fn = on_drained, .ctx = dispatcher};
    loop_post(daemon_loop(dispatcher->daemon), &dispatcher->drained);
}

static void *node_run(void *argument)
{
    struct dispatcher *dispatcher = argument;
    int error = loop_run(dispatcher->node_loop);
    CHECK(error == 0);
    return NULL;
}

/* Connections that were handed over are no longer the cores'. Half of the descriptors remain for those. */
static uint32_t job_connections_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 2 >= NODE_CONNECTIONS_MAX)
        return NODE_CONNECTIONS_MAX;
    return files.rlim_cur < 2 ? 1 : (uint32_t)files.rlim_cur / 2;
}

static int node_open(struct dispatcher *dispatcher, struct conf_error *ret_error)
{
    struct loop_config loop;
    struct node_config config;
    int error = node_config_from_options(&dispatcher->options->node, WIRE_NODE_DISPATCHER, &config, ret_error);
    if (error < 0)
        return error;
    loop_config_init(&loop);
    loop.kind = daemon_loop_kind(dispatcher->daemon);
    error = loop_new(&loop, &dispatcher->node_loop);
    if (error < 0)
        return error;
    daemon_look_at_loop(dispatcher->daemon, dispatcher->node_loop);
    config.loop = dispatcher->node_loop;
    config.events.on_rm = node_report_rm;
    config.events.on_unable = node_report_unable;
    config.events.on_attached = node_report_attached;
    config.events.on_drained = on_node_drained;
    config.events.ctx = dispatcher;
    config.address = daemon_advertised_address(dispatcher->daemon);
    config.bind_ip = dispatcher->options->own.listen;
    config.boot_id = daemon_boot_id(dispatcher->daemon);
    config.connections_max = job_connections_max();
    config.no_jobs = dispatcher->options->own.no_jobs;
    config.disk_path = daemon_state_dir(dispatcher->daemon);
    error = node_new(&config, &dispatcher->node);
    return error < 0 ? error : node_start(dispatcher->node);
}

static int node_thread_start(struct dispatcher *dispatcher)
{
    int error = -pthread_create(&dispatcher->node_thread, NULL, node_run, dispatcher);
    dispatcher->node_started = error == 0;
    return error;
}

/* ---- cores ---- */

/* Clients that a dispatcher should be able to keep connected; the log says when the machine does not allow it. */
#define CONNECTIONS_EXPECTED 10000u

#define BUFFERS_MIN 8u /* of a socket, in core/io */

static uint32_t buffers_from(uint32_t wanted)
{
    return power_of_two_from(wanted < BUFFERS_MIN ? BUFFERS_MIN : wanted);
}

static int cores_open(struct dispatcher *dispatcher, struct conf_error *ret_error)
{
    const struct dispatcher_own_options *own = &dispatcher->options->own;
    uint32_t threads = threads_wanted(own->threads);
    struct core_config config = {
        .shared = &dispatcher->shared,
        .loop_kind = daemon_loop_kind(dispatcher->daemon),
        .spin = own->spin,
        .joined_datagrams = own->gro != 0,
        .udp_buffers = own->udp_buffers > 0 ? buffers_from(own->udp_buffers) : 0,
        .tcp_buffers = buffers_from(own->tcp_buffers),
        .address = own->listen,
        .queue_capacity = power_of_two_from(own->request_queue),
        .connections_max = daemon_connections_max(threads, CORE_CONNECTIONS_MAX, CONNECTIONS_EXPECTED),
        .connections_per_address = own->connections_per_address,
    };
    int error = port_check(&config.address);
    if (error < 0)
        return daemon_fail_listen(ret_error, "listen", &config.address, error);
    for (; config.index < threads; config.index++) {
        error = core_new(&config, &dispatcher->cores[config.index]);
        if (error < 0)
            return daemon_fail_listen(ret_error, "listen", &config.address, error);
        daemon_look_at_loop(dispatcher->daemon, core_loop(dispatcher->cores[config.index]));
        config.address = *core_address(dispatcher->cores[config.index]); /* the same port for all */
        dispatcher->core_count++;
    }
    dispatcher->address = config.address;
    return 0;
}

static int cores_start(struct dispatcher *dispatcher)
{
    int error = 0;
    for (uint32_t i = 0; i < dispatcher->core_count && error == 0; i++)
        error = core_start(dispatcher->cores[i]);
    return error;
}

/* ---- life ---- */

static void on_refuse(void *ctx, struct timer *timer)
{
    struct dispatcher *dispatcher = ctx;
    (void)timer;
    node_refuse_new(dispatcher->node);
}

/* What the last run knew is better than nothing until rm speaks. */
static int directory_restore(struct dispatcher *dispatcher)
{
    struct loop *loop = daemon_loop(dispatcher->daemon);
    const char *state_dir = daemon_state_dir(dispatcher->daemon);
    struct conf_error why;
    uint16_t region = (uint16_t)dispatcher->options->node.region;
    int error = saved_load(dispatcher->directory, state_dir, region, loop_now_ns(loop), loop_wall_ms(loop), &why);
    if (error == 0)
        LOG(MESSAGE_DIRECTORY_RESTORED, LOG_NUMBER("nodes", dispatcher->directory->members.present_count),
            LOG_NUMBER("age_s", (loop_now_ns(loop) - dispatcher->directory->updated_ns) / NS_PER_S));
    else if (error != -ENOENT)
        LOG(MESSAGE_DIRECTORY_NOT_RESTORED, LOG_TEXT("file", state_dir), LOG_TEXT("reason", why.text));
    return saver_new(loop, dispatcher->directory, state_dir, region, &dispatcher->saver);
}

static void subscribe(struct dispatcher *dispatcher)
{
    const struct dispatcher_options *options = dispatcher->options;
    struct subscription_config config = {
        .loop = daemon_loop(dispatcher->daemon),
        .directory = dispatcher->directory,
        .counters = &dispatcher->counters,
        .rms = {.item = dispatcher->followed, .count = rms_followed(&options->node.rm, dispatcher->followed)},
        .subscriber = daemon_advertised_address(dispatcher->daemon),
        .boot_id = daemon_boot_id(dispatcher->daemon),
        .region = (uint16_t)options->node.region,
        .refresh_ns = options->own.refresh_ns,
        .push = !options->own.no_push,
    };
    subscription_start(&dispatcher->subscription, &config);
    dispatcher->subscribed = true;
}

static void policy_set(struct dispatcher *dispatcher)
{
    uint32_t policy = dispatcher->options->own.policy;
    directory_set_weighted(dispatcher->directory, policy == POLICY_WEIGHTED);
    placement_set_on(dispatcher->placement, policy == POLICY_FINISH_TIME);
    atomic_store_explicit(&dispatcher->shared.policy, policy, memory_order_relaxed);
}

static int shared_init(struct dispatcher *dispatcher, float queue_factor)
{
    const struct dispatcher_options *options = dispatcher->options;
    uint16_t region = (uint16_t)options->node.region;
    uint32_t threads = threads_wanted(options->own.threads);
    int error = directory_new(region, threads, &dispatcher->directory);
    if (error == 0)
        error = feedback_desk_new(daemon_loop(dispatcher->daemon), dispatcher->directory, &dispatcher->counters, threads,
                                  &dispatcher->feedback);
    if (error == 0)
        error = placement_new(daemon_loop(dispatcher->daemon), &dispatcher->directory->members, &dispatcher->counters, threads,
                              queue_factor, &dispatcher->placement);
    if (error < 0)
        return error;
    dispatcher->directory->members.placement = dispatcher->placement;
    dispatcher->shared = (struct core_shared){
        .publication = &dispatcher->directory->publication,
        .values = dispatcher->directory->members.values,
        .boot_id = daemon_boot_id(dispatcher->daemon),
        .region = region,
        .queue_factor = queue_factor,
        .feedback = dispatcher->feedback,
        .placement = dispatcher->placement,
        .takes_jobs = !options->own.no_jobs,
        .hand_over = on_job_connection,
        .ctx = dispatcher,
    };
    placement_set_share_max(dispatcher->placement, options->own.share_max);
    policy_set(dispatcher);
    return 0;
}

/* The cores need the node's queue factor, the node needs the cores' address: the node opens between opening and starting the cores. */
static int dispatcher_open(struct dispatcher *dispatcher, struct conf_error *ret_error)
{
    struct node_config node;
    int error = node_config_from_options(&dispatcher->options->node, WIRE_NODE_DISPATCHER, &node, ret_error);
    if (error == 0)
        error = shared_init(dispatcher, node.queue_factor);
    if (error == 0)
        error = directory_restore(dispatcher);
    if (error < 0)
        return error;
    error = cores_open(dispatcher, ret_error);
    if (error < 0)
        return error;
    daemon_set_listen_address(dispatcher->daemon, &dispatcher->address);
    error = node_open(dispatcher, ret_error);
    if (error == 0)
        error = node_thread_start(dispatcher);
    return error < 0 ? error : cores_start(dispatcher);
}

int dispatcher_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error)
{
    struct dispatcher *dispatcher = calloc(1, sizeof(*dispatcher));
    if (!dispatcher) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    dispatcher->daemon = daemon;
    dispatcher->options = options;
    int error = dispatcher_open(dispatcher, ret_error);
    if (error < 0) {
        if (!ret_error->text[0])
            conf_error_set(ret_error, "cannot start %u threads and %s: %s%s", threads_wanted(dispatcher->options->own.threads),
                           dispatcher->options->own.no_jobs ? "the node" : "a node that takes jobs", error_text(error),
                           daemon_limits_remedy(error));
        dispatcher_stop(dispatcher);
        return error;
    }
    timer_init(&dispatcher->refuse, on_refuse, dispatcher);
    subscribe(dispatcher);
    *ret_state = dispatcher;
    return 0;
}

void dispatcher_drain(void *state, enum drain_phase phase)
{
    struct dispatcher *dispatcher = state;
    switch (phase) {
    case DRAIN_ANNOUNCE: node_announce_leaving(dispatcher->node); return;
    case DRAIN_REFUSE:
        for (uint32_t i = 0; i < dispatcher->core_count; i++)
            core_close_sockets(dispatcher->cores[i]);
        timer_start(daemon_loop(dispatcher->daemon), &dispatcher->refuse,
                    loop_now_ns(daemon_loop(dispatcher->daemon)) + REFUSE_DELAY_NS);
        return;
    case DRAIN_ABANDON: node_abandon(dispatcher->node); return;
    }
}

void dispatcher_changed(void *state, const struct conf_option *option)
{
    struct dispatcher *dispatcher = state;
    if (strcmp(option->name, "policy") == 0) {
        policy_set(dispatcher);
        subscription_directory_changed(&dispatcher->subscription);
    } else if (strcmp(option->name, "sleep-factor") == 0)
        node_set_sleep_factor(dispatcher->node, dispatcher->options->node.sleep_factor);
}

/* Cores first: they hand connections over to the node and read the directory. */
void dispatcher_stop(void *state)
{
    struct dispatcher *dispatcher = state;
    for (uint32_t i = 0; i < dispatcher->core_count; i++)
        core_stop(dispatcher->cores[i]);
    if (dispatcher->subscribed) {
        subscription_stop(&dispatcher->subscription);
        timer_stop(&dispatcher->refuse);
    }
    if (dispatcher->node_started) {
        loop_stop(dispatcher->node_loop);
        pthread_join(dispatcher->node_thread, NULL);
    }
    node_free(dispatcher->node);
    for (uint32_t i = 0; i < dispatcher->core_count; i++)
        core_free(dispatcher->cores[i]);
    loop_free(dispatcher->node_loop);
    saver_free(dispatcher->saver);
    feedback_desk_free(dispatcher->feedback);
    placement_free(dispatcher->placement);
    directory_free(dispatcher->directory);
    free(dispatcher);
}
