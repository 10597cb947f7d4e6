#include "rm/rm.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "rm/regions.h"

/* How long a start waits for Redis before lists go out without it. */
#define RELEASE_NS NS_PER_S

/* Marks looked at in one go: 100 to 200 µs. */
#define AVERAGES_BUDGET 1024u

/* With so many datagrams a second they are taken in together, as many as come within GATHER_NS: a third of rm's CPU less. Each waking up
 * would cost more than a heartbeat. */
#define GATHER_PER_S 5000u
#define GATHER_NS (500 * NS_PER_US)
#define GATHER_LOOK_NS (20 * NS_PER_MS)

#define FINISH_NS NS_PER_S
#define REDIS_STOP_NS (5 * NS_PER_S)

struct cluster_time rm_now(const struct rm *rm)
{
    struct loop *loop = daemon_loop(rm->daemon);
    return (struct cluster_time){.ns = loop_now_ns(loop), .wall_ms = loop_wall_ms(loop)};
}

static uint64_t time_left_ns(uint64_t until_ns, uint64_t now_ns)
{
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

uint64_t rm_lists_wait_ns(const struct rm *rm)
{
    uint64_t now_ns = rm_now(rm).ns;
    uint64_t round_ns = time_left_ns(cluster_shown_ns(rm->cluster, now_ns), now_ns);
    if (!timer_is_running(&rm->release_timer))
        return round_ns;
    uint64_t redis_ns = time_left_ns(rm->release_timer.at_ns, now_ns) + 1; /* due and not yet run: it is a wait, too */
    return redis_ns > round_ns ? redis_ns : round_ns;
}

const struct redis_target *rm_redis_in_use(const struct rm *rm)
{
    return rm->redis_server ? redis_server_target(rm->redis_server) : &rm->redis;
}

/* ---- what happens meanwhile ---- */

static void on_cluster_event(void *ctx, enum cluster_event event, uint32_t slot)
{
    struct rm *rm = ctx;
    event_log_note(&rm->events, rm->cluster, event, slot, loop_now_ns(daemon_loop(rm->daemon)));
}

static void on_change(void *ctx)
{
    struct rm *rm = ctx;
    subscribers_notify(rm->subscribers);
}

static void on_averages(void *ctx, struct timer *timer)
{
    struct rm *rm = ctx;
    struct loop *loop = daemon_loop(rm->daemon);
    if (cluster_averages_step(rm->cluster, loop_now_ns(loop), AVERAGES_BUDGET))
        timer_start(loop, timer, 0);
    subscribers_notify(rm->subscribers);
}

static void gather_adapt(struct rm *rm)
{
    struct loop *loop = daemon_loop(rm->daemon);
    uint64_t received = atomic_load_explicit(&loop_stats(loop)->datagrams_received, memory_order_relaxed);
    uint64_t passed_ns = loop_now_ns(loop) - rm->gather_ns;
    if (passed_ns < GATHER_LOOK_NS)
        return;
    uint64_t per_s = (received - rm->gather_received) * NS_PER_S / passed_ns;
    loop_set_batch_gap(loop, per_s >= GATHER_PER_S ? GATHER_NS : 0);
    rm->gather_received = received;
    rm->gather_ns = loop_now_ns(loop);
}

static void on_sweep(void *ctx, struct timer *timer)
{
    struct rm *rm = ctx;
    struct loop *loop = daemon_loop(rm->daemon);
    gather_adapt(rm);
    uint64_t sequence = rm->cluster->sequence;
    bool more = cluster_sweep(rm->cluster, rm_now(rm));
    event_log_flush(&rm->events, loop_now_ns(loop));
    if (rm->cluster->sequence != sequence || !cluster_is_complete(rm->cluster, loop_now_ns(loop)))
        subscribers_notify(rm->subscribers);
    if (rm->cluster->services.stale_head != SERVICE_NONE && !timer_is_running(&rm->averages_timer))
        timer_start(loop, &rm->averages_timer, 0);
    timer_start(loop, timer, more ? 0 : loop_now_ns(loop) + cluster_sweep_interval_ns(&rm->cluster->config));
}

static void on_loaded(void *ctx)
{
    struct rm *rm = ctx;
    timer_stop(&rm->release_timer);
    subscribers_release(rm->subscribers);
}

static void on_release(void *ctx, struct timer *timer)
{
    struct rm *rm = ctx;
    (void)timer;
    char where[REDIS_TARGET_TEXT_BYTES];
    LOG(MESSAGE_REDIS_ABSENT, LOG_TEXT("redis", redis_target_format(rm_redis_in_use(rm), where)),
        LOG_TEXT("reason", mirror_reason(rm->mirror)));
    subscribers_release(rm->subscribers);
}

static void on_redis_started(void *ctx)
{
    struct rm *rm = ctx;
    if (rm->mirror)
        mirror_hurry(rm->mirror);
}

static void on_redis_ended(void *ctx, const char *reason)
{
    (void)ctx;
    LOG(MESSAGE_REDIS_SERVER_ENDED, LOG_TEXT("reason", reason));
}

/* ---- start ---- */

static int open_identity(struct rm *rm, struct conf_error *ret_error)
{
    return identity_take(daemon_state_dir(rm->daemon), daemon_boot_id(rm->daemon), clock_wall_ms(), &rm->identity, ret_error);
}

static int open_cluster(struct rm *rm, struct conf_error *ret_error)
{
    struct cluster_config config = {
        .valid_ns = rm->options->own.heartbeat_valid_ns,
        .no_protection = rm->options->own.no_protection,
        .messages_per_s = rm->options->own.node_messages,
        .node_metrics_max = rm->options->own.node_metrics,
        .rm_id = rm->identity.rm_id,
        .on_event = on_cluster_event,
        .ctx = rm,
    };
    for (uint32_t term = 0; term < WEIGHT_TERMS; term++)
        config.weight_factors[term] = rm->options->own.weight_factors.value[term];
    int error = cluster_new(&config, loop_now_ns(daemon_loop(rm->daemon)), &rm->cluster);
    if (error < 0)
        conf_error_set(ret_error, "%s", error_text(error));
    return error;
}

/* Of ports that the kernel picks for datagrams and somebody has for connections. */
#define PORT_TRIES 16u

/* Both on the same port: the second takes the one that the first got. */
static int open_pair(struct rm *rm, struct conf_error *ret_error)
{
    struct reception_config reception = {
        .loop = daemon_loop(rm->daemon),
        .listen = rm->options->own.listen,
        .cluster = rm->cluster,
        .counters = &rm->counters,
        .rm_id = rm->identity.rm_id,
        .boot_id = daemon_boot_id(rm->daemon),
        .nonce = daemon_boot_id(rm->daemon),
        .region = (uint16_t)rm->options->own.region,
        .on_change = on_change,
        .ctx = rm,
    };
    int error = reception_new(&reception, &rm->reception);
    if (error < 0)
        return daemon_fail_listen(ret_error, "listen", &rm->options->own.listen, error);
    rm->address = reception_address(rm->reception);
    struct subscribers_config subscribers = {
        .loop = daemon_loop(rm->daemon),
        .listen = rm->address,
        .cluster = rm->cluster,
        .counters = &rm->counters,
        .rm_id = rm->identity.rm_id,
        .epoch = rm->identity.epoch,
        .region = (uint16_t)rm->options->own.region,
        .connections_max = daemon_connections_max(1, SUBSCRIBERS_MAX, SUBSCRIBERS_MAX),
        .patience_ns = SUBSCRIBERS_PATIENCE_NS,
    };
    error = subscribers_new(&subscribers, &rm->subscribers);
    if (error < 0)
        return daemon_fail_listen(ret_error, "listen", &rm->address, error);
    return 0;
}

static int open_sockets(struct rm *rm, struct conf_error *ret_error)
{
    int error = open_pair(rm, ret_error);
    for (uint32_t i = 1; error == -EADDRINUSE && rm->options->own.listen.port == 0 && i < PORT_TRIES; i++) {
        reception_free(rm->reception);
        rm->reception = NULL;
        error = open_pair(rm, ret_error);
    }
    if (error == 0)
        daemon_set_listen_address(rm->daemon, &rm->address);
    return error;
}

static bool names_own_region(const struct rm *rm, const struct region_table *table)
{
    for (uint32_t i = 0; i < table->dispatcher_count; i++)
        if (table->dispatchers[i].region == rm->options->own.region)
            return true;
    return false;
}

/* Takes the file's table into use; on failure the old one stays. */
static int take_regions(struct rm *rm, struct conf_error *ret_error)
{
    struct region_table *table;
    int error = regions_read(rm->options->own.regions, &table, ret_error);
    if (error < 0)
        return error;
    error = subscribers_set_regions(rm->subscribers, table);
    if (error < 0) {
        conf_error_set(ret_error, "%s: %s", rm->options->own.regions, error_text(error));
        region_table_free(table);
        return error;
    }
    region_table_free(rm->regions);
    rm->regions = table;
    LOG(MESSAGE_RM_REGIONS_READ, LOG_TEXT("file", rm->options->own.regions), LOG_NUMBER("version", table->version),
        LOG_NUMBER("ranges", table->range_count), LOG_NUMBER("dispatchers", table->dispatcher_count));
    if (!names_own_region(rm, table))
        LOG(MESSAGE_RM_REGIONS_WITHOUT_US, LOG_TEXT("file", rm->options->own.regions),
            LOG_NUMBER("region", rm->options->own.region));
    return 0;
}

static int open_redis(struct rm *rm, struct random_state *random, struct conf_error *ret_error)
{
    char reason[REDIS_SERVER_REASON_BYTES] = "";
    int error = rm_redis_target(rm->options, &rm->redis, ret_error);
    if (error < 0 || rm->redis.kind != REDIS_TARGET_EMBEDDED)
        return error;
    struct redis_server_config config = {
        .loop = daemon_loop(rm->daemon),
        .folder = daemon_state_dir(rm->daemon),
        .on_started = on_redis_started,
        .on_ended = on_redis_ended,
        .ctx = rm,
        .seed = random_next(random),
        .reason = reason,
    };
    error = redis_server_new(&config, &rm->redis_server);
    if (error < 0)
        conf_error_set(ret_error, "%s", reason);
    return error;
}

static int open_mirror(struct rm *rm, struct random_state *random, struct conf_error *ret_error)
{
    struct mirror_config config = {
        .loop = daemon_loop(rm->daemon),
        .cluster = rm->cluster,
        .counters = &rm->counters,
        .target = *rm_redis_in_use(rm),
        .region = (uint16_t)rm->options->own.region,
        .seed = random_next(random),
        .on_loaded = on_loaded,
        .on_words = on_change,
        .ctx = rm,
    };
    int error = mirror_new(&config, &rm->mirror);
    if (error < 0)
        conf_error_set(ret_error, "%s", error_text(error));
    return error;
}

static int open_everything(struct rm *rm, struct conf_error *ret_error)
{
    struct random_state random;
    random_init(&random, daemon_boot_id(rm->daemon));
    random_init(&rm->picks, random_next(&random));
    int error = open_identity(rm, ret_error);
    if (error == 0)
        error = open_cluster(rm, ret_error);
    if (error == 0)
        error = open_sockets(rm, ret_error);
    if (error == 0 && rm->options->own.regions)
        error = take_regions(rm, ret_error);
    if (error == 0)
        error = open_redis(rm, &random, ret_error);
    if (error == 0)
        error = open_mirror(rm, &random, ret_error);
    return error;
}

static void close_everything(struct rm *rm)
{
    timer_stop(&rm->sweep_timer);
    timer_stop(&rm->averages_timer);
    timer_stop(&rm->release_timer);
    reception_free(rm->reception);
    mirror_free(rm->mirror); /* answers what waits for Redis, which subscribers are told of */
    subscribers_free(rm->subscribers);
    redis_server_free(rm->redis_server, REDIS_STOP_NS);
    region_table_free(rm->regions);
    cluster_free(rm->cluster);
    free(rm);
}

int rm_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error)
{
    struct loop *loop = daemon_loop(daemon);
    struct rm *rm = calloc(1, sizeof(*rm));
    if (!rm) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    rm->daemon = daemon;
    rm->options = options;
    rm->events.counters = &rm->counters;
    timer_init(&rm->sweep_timer, on_sweep, rm);
    timer_init(&rm->averages_timer, on_averages, rm);
    timer_init(&rm->release_timer, on_release, rm);
    int error = open_everything(rm, ret_error);
    if (error < 0) {
        close_everything(rm);
        return error;
    }
    timer_start(loop, &rm->sweep_timer, 0);
    timer_start(loop, &rm->release_timer, clock_monotonic_ns() + RELEASE_NS);
    LOG(MESSAGE_RM_DETECTION, LOG_NUMBER("valid_ms", rm->cluster->config.valid_ns / NS_PER_MS),
        LOG_NUMBER("worst_ms", cluster_detection_ns(&rm->cluster->config) / NS_PER_MS));
    *ret_state = rm;
    return 0;
}

void rm_stop(void *state)
{
    struct rm *rm = state;
    mirror_finish(rm->mirror, FINISH_NS);
    close_everything(rm);
}

/* ---- options that change ---- */

void rm_changed(void *state, const struct conf_option *option)
{
    struct rm *rm = state;
    (void)option;
    rm->cluster->config.no_protection = rm->options->own.no_protection;
}

void rm_reloaded(void *state)
{
    struct rm *rm = state;
    struct conf_error why;
    if (rm->options->own.regions && take_regions(rm, &why) < 0)
        LOG(MESSAGE_RM_REGIONS_WRONG, LOG_TEXT("reason", why.text));
}
