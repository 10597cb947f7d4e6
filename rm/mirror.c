#include "rm/mirror.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "rm/changes.h"
#include "rm/mirror_internal.h"

#define CALL_DEADLINE_NS (100 * NS_PER_MS)
#define CHECK_INTERVAL_NS (10 * NS_PER_S)
#define FAULTS_KEPT_MS (INT64_C(3600) * 1000)
#define FAULTS_PORTION 500

/* How often operators' words are read; and not before WORDS_REST × what the last time took: 5 % of the time. */
#define WORDS_INTERVAL_NS NS_PER_S
#define WORDS_REST 20

/* ---- looking after the store ---- */

/* Commands beside flushes: nothing depends on one of them. */
static void side_call(struct mirror *mirror, redis_on_reply *on_reply)
{
    if (redis_connection_call(mirror->connection, &mirror->command, on_reply, mirror) < 0)
        counter_add(mirror->config.counters, COUNTER_MIRROR_ERRORS, 1);
}

static void key_command(struct mirror *mirror, const char *name, enum redis_key key)
{
    char text[REDIS_KEY_BYTES];
    redis_command_begin(&mirror->command, name);
    redis_command_add(&mirror->command, redis_key_format(key, mirror->config.region, text));
}

static void forgotten(struct mirror *mirror, int64_t found, uint32_t expected)
{
    LOG(MESSAGE_REDIS_FORGOT, LOG_NUMBER("found", found), LOG_NUMBER("expected", expected));
    counter_add(mirror->config.counters, COUNTER_REDIS_FORGOT, 1);
    mirror_write_all(mirror);
}

/* Somebody has emptied the store while we were connected. A few may be missing: another rm takes out what it holds for faulty. */
static void count_look(struct mirror *mirror, const struct redisReply *reply, uint32_t expected)
{
    int64_t found = redis_reply_number(reply);
    if (!redis_reply_is_number(reply) || !mirror->settled || mirror->refusing || (uint64_t)found * 100 >= (uint64_t)expected * 85)
        return;
    forgotten(mirror, found, expected);
    changes_mark_words_dirty(mirror->config.cluster);
}

static void on_beats_count(void *ctx, const struct redisReply *reply)
{
    struct mirror *mirror = ctx;
    count_look(mirror, reply, mirror->expected_beats);
}

static void on_nodes_count(void *ctx, const struct redisReply *reply)
{
    struct mirror *mirror = ctx;
    count_look(mirror, reply, mirror->expected_nodes);
}

/* What has been written by now. Nodes that came back from Redis may have no beat there before they heartbeat: that is the grace. */
static void counts_request(struct mirror *mirror)
{
    const struct cluster *cluster = mirror->config.cluster;
    uint32_t fresh = cluster->states[NODE_FRESH].count;
    uint32_t written = fresh < mirror->mirrored_fresh ? fresh : mirror->mirrored_fresh;
    mirror->expected_beats = mirror_now_ns(mirror) < cluster->grace_until_ns ? 0 : written;
    mirror->expected_nodes = written > cluster->put_off_count ? written - cluster->put_off_count : 0;
    key_command(mirror, "ZCARD", REDIS_KEY_BEATS);
    side_call(mirror, on_beats_count);
    key_command(mirror, "HLEN", REDIS_KEY_NODES);
    side_call(mirror, on_nodes_count);
}

/* Faults that nobody will ask about any more, whichever rm wrote them, and what was known of these nodes. */
static void on_old_faults(void *ctx, const struct redisReply *reply)
{
    static const struct {
        const char *name;
        enum redis_key key;
    } rows[] = {{"HDEL", REDIS_KEY_NODES}, {"ZREM", REDIS_KEY_FAULTS}};
    struct mirror *mirror = ctx;
    if (redis_reply_count(reply) == 0 || !mirror->ready)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        key_command(mirror, rows[i].name, rows[i].key);
        for (size_t j = 0; j < redis_reply_count(reply); j++)
            redis_command_add(&mirror->command, redis_reply_text(redis_reply_item(reply, j), NULL));
        side_call(mirror, NULL);
    }
}

static void old_faults_request(struct mirror *mirror)
{
    key_command(mirror, "ZRANGEBYSCORE", REDIS_KEY_FAULTS);
    redis_command_add(&mirror->command, "-inf");
    redis_command_add_number(&mirror->command, mirror_redis_now_ms(mirror) - FAULTS_KEPT_MS);
    redis_command_add(&mirror->command, "LIMIT");
    redis_command_add_number(&mirror->command, 0);
    redis_command_add_number(&mirror->command, FAULTS_PORTION);
    side_call(mirror, on_old_faults);
}

/* One that was slow because the machine stood still is no reason to wait. */
static void words_schedule(struct mirror *mirror)
{
    uint64_t took_ns = mirror_now_ns(mirror) - mirror->words_began_ns;
    uint64_t wait_ns = (took_ns < mirror->words_took_ns ? took_ns : mirror->words_took_ns) * WORDS_REST;
    mirror->words_took_ns = took_ns;
    timer_start(mirror->config.loop, &mirror->words_timer,
                mirror_now_ns(mirror) + (wait_ns > WORDS_INTERVAL_NS ? wait_ns : WORDS_INTERVAL_NS));
}

/* Everything is written, but of the words only those that were not met by the reading: another rm may have said something later since. */
static void ready_enter(struct mirror *mirror, int error)
{
    mirror->ready = true;
    mirror_write_all(mirror);
    if (error < 0)
        changes_mark_words_dirty(mirror->config.cluster);
    else
        (void)cluster_words_missing(mirror->config.cluster);
    mirror_flush_schedule(mirror, 0);
}

/* Somebody has emptied the store, or a part of it, or written there what is no word. Heartbeats bring the rest of what lives within a
 * second, so that counts may not tell of it; words come from nobody but us. Where Redis refuses, all is written anew in any case. */
static void words_look(struct mirror *mirror, int error)
{
    bool missed = mirror->words_missed;
    if (mirror->refused || mirror->refusing || (error < 0 && (error != -EPROTO || missed)))
        return;
    uint32_t known = mirror->config.cluster->words.count;
    uint32_t missing = cluster_words_missing(mirror->config.cluster);
    mirror->words_missed = missing > 0;
    if (missing > 0 && !missed && error == 0)
        forgotten(mirror, known - missing, known);
}

/* Before anything is written to a server that is new to us, and then now and then. */
static void on_words_read(void *ctx, int error)
{
    struct mirror *mirror = ctx;
    mirror->loading = false;
    if (error == -ECONNRESET && !mirror->ready)
        return; /* on the next connection */
    if (!mirror->ready)
        ready_enter(mirror, error);
    else
        words_look(mirror, error);
    if (mirror->load.words_adopted > 0)
        mirror->config.on_words(mirror->config.ctx);
    words_schedule(mirror);
}

static void on_load_done(void *ctx, int error)
{
    struct mirror *mirror = ctx;
    struct cluster_time now = {.ns = mirror_now_ns(mirror), .wall_ms = loop_wall_ms(mirror->config.loop)};
    uint32_t before = mirror->config.cluster->restored_count;
    mirror->loading = false;
    if (error == -ECONNRESET)
        return; /* on the next connection */
    cluster_restore_commit(mirror->config.cluster, now);
    LOG(MESSAGE_REDIS_LOADED, LOG_NUMBER("nodes", mirror->config.cluster->restored_count - before),
        LOG_NUMBER("unreadable", mirror->load.unreadable), LOG_TEXT("result", error < 0 ? "incomplete" : "complete"));
    mirror->loaded = true;
    ready_enter(mirror, error);
    mirror->config.on_loaded(mirror->config.ctx);
    words_schedule(mirror);
}

/* At the first connection everything, later operators' words. */
static void load_begin(struct mirror *mirror)
{
    mirror->load = (struct mirror_load){
        .loop = mirror->config.loop,
        .connection = mirror->connection,
        .cluster = mirror->config.cluster,
        .region = mirror->config.region,
        .clock_offset_ms = mirror->clock_offset_ms,
        .on_done = mirror->loaded ? on_words_read : on_load_done,
        .ctx = mirror,
    };
    mirror->loading = true;
    cluster_words_reading(mirror->config.cluster);
    mirror->words_began_ns = mirror_now_ns(mirror);
    if (mirror->loaded)
        mirror_load_words_begin(&mirror->load);
    else
        mirror_load_begin(&mirror->load);
}

static void on_words(void *ctx, struct timer *timer)
{
    struct mirror *mirror = ctx;
    (void)timer;
    if (!mirror->loading)
        load_begin(mirror);
}

/* TIME → [seconds, microseconds]. Scores are by Redis' clock, since several rm with clocks of their own may share a store. */
static void on_time(void *ctx, const struct redisReply *reply)
{
    struct mirror *mirror = ctx;
    mirror->time_refused = redis_reply_is_error(reply);
    if (mirror->time_refused) { /* by a sentinel, for instance: asked again with the next check */
        snprintf(mirror->refusal, sizeof(mirror->refusal), "%s", redis_reply_text(reply, NULL));
        mirror_refusal_tell(mirror);
    }
    if (redis_reply_count(reply) != 2)
        return;
    int64_t seconds = strtoll(redis_reply_text(redis_reply_item(reply, 0), NULL), NULL, 10);
    int64_t us = strtoll(redis_reply_text(redis_reply_item(reply, 1), NULL), NULL, 10);
    int64_t redis_ms = seconds * 1000 + us / 1000;
    uint64_t middle_ns = mirror->time_asked_ns + (mirror_now_ns(mirror) - mirror->time_asked_ns) / 2;
    mirror->clock_offset_ms = redis_ms - (int64_t)(middle_ns / NS_PER_MS);
    if (!mirror->ready && !mirror->loading)
        load_begin(mirror);
}

static void time_request(struct mirror *mirror)
{
    mirror->time_asked_ns = mirror_now_ns(mirror);
    redis_command_begin(&mirror->command, "TIME");
    side_call(mirror, on_time);
}

void mirror_check(struct mirror *mirror)
{
    if (!redis_connection_is_up(mirror->connection))
        return;
    time_request(mirror);
    if (!mirror->ready)
        return;
    if (mirror->settled)
        counts_request(mirror);
    old_faults_request(mirror);
}

static void on_check(void *ctx, struct timer *timer)
{
    struct mirror *mirror = ctx;
    timer_start(mirror->config.loop, timer, mirror_now_ns(mirror) + CHECK_INTERVAL_NS);
    mirror_check(mirror);
}

/* ---- the connection ---- */

static void on_up(void *ctx)
{
    struct mirror *mirror = ctx;
    char server[REDIS_TARGET_TEXT_BYTES];
    LOG(MESSAGE_REDIS_UP, LOG_TEXT("server", redis_target_format(redis_connection_server(mirror->connection), server)));
    time_request(mirror);
}

static void on_down(void *ctx, const char *reason)
{
    struct mirror *mirror = ctx;
    LOG(MESSAGE_REDIS_DOWN, LOG_TEXT("reason", reason));
    counter_add(mirror->config.counters, COUNTER_REDIS_LOST, 1);
    mirror->ready = false;
    mirror->settled = false;
    mirror->flushing = false;
    timer_stop(&mirror->flush_timer);
    timer_stop(&mirror->pump_timer);
    timer_stop(&mirror->words_timer);
}

int mirror_new(const struct mirror_config *config, struct mirror **ret_mirror)
{
    struct mirror *mirror = calloc(1, sizeof(*mirror));
    if (!mirror)
        return -ENOMEM;
    mirror->config = *config;
    timer_init(&mirror->flush_timer, mirror_on_flush, mirror);
    timer_init(&mirror->pump_timer, mirror_on_pump, mirror);
    timer_init(&mirror->check_timer, on_check, mirror);
    timer_init(&mirror->words_timer, on_words, mirror);
    struct redis_connection_config connection = {
        .loop = config->loop,
        .target = config->target,
        .call_deadline_ns = CALL_DEADLINE_NS,
        .on_up = on_up,
        .on_down = on_down,
        .ctx = mirror,
        .seed = config->seed,
    };
    int error = redis_connection_new(&connection, &mirror->connection);
    if (error < 0) {
        free(mirror);
        return error;
    }
    timer_start(config->loop, &mirror->check_timer, loop_now_ns(config->loop) + CHECK_INTERVAL_NS);
    *ret_mirror = mirror;
    return 0;
}

void mirror_free(struct mirror *mirror)
{
    if (!mirror)
        return;
    mirror->ready = false;
    redis_connection_free(mirror->connection); /* whoever waits for an answer gets none, and may start a timer for that */
    timer_stop(&mirror->flush_timer);
    timer_stop(&mirror->pump_timer);
    timer_stop(&mirror->check_timer);
    timer_stop(&mirror->words_timer);
    redis_command_done(&mirror->command);
    mirror_order_done(&mirror->loads);
    free(mirror);
}

void mirror_hurry(struct mirror *mirror)
{
    redis_connection_hurry(mirror->connection);
}

void mirror_finish(struct mirror *mirror, uint64_t limit_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + limit_ns;
    /* The flush in progress may have passed over what changed last: one more after it. */
    uint64_t wanted = mirror->flush_count + (mirror->flushing ? 2 : 1);
    mirror->finishing = true;
    if (mirror->flushing && timer_is_running(&mirror->pump_timer))
        mirror_flush_continue(mirror);
    while (mirror->ready && mirror->flush_count < wanted && clock_monotonic_ns() < until_ns) {
        if (!mirror->flushing)
            mirror_flush_begin(mirror);
        if (loop_run_once(mirror->config.loop, 10 * NS_PER_MS) < 0)
            return;
    }
}

struct word_call {
    struct cluster *cluster;
    struct address node;
    void (*on_done)(void *ctx, bool stored);
    void *ctx;
};

static void on_word_written(void *ctx, const struct redisReply *reply)
{
    struct word_call *call = ctx;
    bool stored = reply && !redis_reply_is_error(reply);
    uint32_t slot = stored ? NODE_NONE : cluster_find(call->cluster, &call->node);
    if (slot != NODE_NONE) {
        call->cluster->nodes[slot].admin_dirty = true;
        changes_mark_dirty(call->cluster, slot);
    }
    call->on_done(call->ctx, stored);
    free(call);
}

int mirror_word_write(struct mirror *mirror, uint32_t slot, void (*on_done)(void *ctx, bool stored), void *ctx)
{
    struct mirror_batch batch = {.cluster = mirror->config.cluster, .region = mirror->config.region, .count = 1};
    batch.slot[0] = slot;
    batch.commands[0] = 1u << MIRROR_ADMIN_SET;
    if (!mirror->ready)
        return -ENOTCONN;
    struct word_call *call = malloc(sizeof(*call));
    if (!call)
        return -ENOMEM;
    struct node *node = &mirror->config.cluster->nodes[slot];
    *call = (struct word_call){.cluster = mirror->config.cluster, .node = node->address, .on_done = on_done, .ctx = ctx};
    CHECK(mirror_batch_command(&batch, MIRROR_ADMIN_SET, &mirror->command));
    int error = redis_connection_call(mirror->connection, &mirror->command, on_word_written, call);
    if (error < 0) {
        free(call);
        return error;
    }
    /* Not once more with the next flush: by then another rm may have said something later there. */
    node->admin_dirty = false;
    node->word_reading = mirror->config.cluster->word_reading;
    return 0;
}

struct word_read {
    struct mirror *mirror;
    struct address node;
    void (*on_done)(void *ctx);
    void *ctx;
};

static void on_word_read(void *ctx, const struct redisReply *reply)
{
    struct word_read *read = ctx;
    struct mirror *mirror = read->mirror;
    struct cluster_time now = {.ns = mirror_now_ns(mirror), .wall_ms = loop_wall_ms(mirror->config.loop)};
    bool adopted;
    size_t length;
    const char *value = redis_reply_text(reply, &length);
    if (redis_reply_is_text(reply) && mirror_load_word(mirror->config.cluster, now, &read->node, value, length, &adopted) &&
        adopted)
        mirror->config.on_words(mirror->config.ctx);
    read->on_done(read->ctx);
    free(read);
}

int mirror_word_read(struct mirror *mirror, const struct address *node, void (*on_done)(void *ctx), void *ctx)
{
    char field[ADDRESS_TEXT_BYTES];
    if (!mirror->ready)
        return -ENOTCONN;
    struct word_read *read = malloc(sizeof(*read));
    if (!read)
        return -ENOMEM;
    *read = (struct word_read){.mirror = mirror, .node = *node, .on_done = on_done, .ctx = ctx};
    address_format(node, field);
    key_command(mirror, "HGET", REDIS_KEY_ADMIN);
    redis_command_add(&mirror->command, field);
    int error = redis_connection_call(mirror->connection, &mirror->command, on_word_read, read);
    if (error < 0)
        free(read);
    return error;
}

bool mirror_is_up(const struct mirror *mirror)
{
    return mirror->ready;
}

const struct redis_target *mirror_server(const struct mirror *mirror)
{
    return redis_connection_server(mirror->connection);
}

const char *mirror_refusal(const struct mirror *mirror)
{
    return mirror->refusing ? mirror->refusal : "";
}

const char *mirror_reason(const struct mirror *mirror)
{
    if (mirror->ready)
        return mirror_refusal(mirror);
    if (redis_connection_is_up(mirror->connection))
        return mirror->refusing ? mirror->refusal : "reading what Redis holds";
    return redis_connection_reason(mirror->connection);
}

uint64_t mirror_lag_ns(const struct mirror *mirror)
{
    return mirror->flush_ended_ns == 0 ? UINT64_MAX : mirror_now_ns(mirror) - mirror->flush_ended_ns;
}
