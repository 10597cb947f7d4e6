/* Writing what has changed: a flush takes the nodes that are dirty when it begins, batch by batch, and then writes their loads in order.
 *
 * How seldom beats may be written: whoever shares the store takes those out that are older than the valid time, so a living node's must never be.
 * When it is written anew it is as old as one period and one interval of heartbeats together, three fifths and usually a third of the valid time,
 * which leaves a fifteenth, 0.2 s by default, for a flush that is late. Our own look at the end of the flush comes at most two thirds of a period
 * after the first beats of it, that is 0.8 s before they would be too old. After a restart what stands there counts, however old.
 *
 * Nobody judges by loads, which cost Redis more: where flushes are stretched only every second one writes them, and a node's may be as old as six
 * fifths of the valid time and an interval. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "rm/changes.h"
#include "rm/mirror_internal.h"

#define FLUSH_INTERVAL_NS (100 * NS_PER_MS)
#define FLUSH_NODE_NS (20 * NS_PER_US) /* more between flushes for each node: 90,000 make it the longest by default */
#define FLUSH_REST_NS_MIN (20 * NS_PER_MS)
#define FLUSH_GAP_NS_MAX (5 * NS_PER_MS)
#define EXPIRY_GAP_NS NS_PER_MS
#define BUSY_GAP_NS NS_PER_MS
#define FLUSH_GAPS_BEHIND 4 /* so many batches that could not be sent in time follow in the next turns, one in each */

#define WHOLE_INTERVAL_NS NS_PER_S /* while Redis refuses, everything is tried no more often */

/* No more often are metadata written, at 10 µs each: a tenth of rm's time, when all are new. */
#define METADATA_NODE_NS (100 * NS_PER_US)

static uint64_t flush_period_ns_max(const struct mirror *mirror)
{
    return mirror->config.cluster->config.valid_ns / 5 * 3;
}

/* From one flush to the next: longer the more nodes there are. */
static uint64_t nodes_period_ns(const struct mirror *mirror, uint32_t nodes)
{
    uint64_t most_ns = flush_period_ns_max(mirror);
    uint64_t period_ns = nodes * FLUSH_NODE_NS;
    if (period_ns < FLUSH_INTERVAL_NS)
        period_ns = FLUSH_INTERVAL_NS;
    return period_ns < most_ns ? period_ns : most_ns;
}

static uint64_t flush_period_ns(const struct mirror *mirror)
{
    return nodes_period_ns(mirror, mirror->flush_nodes);
}

/* When Redis is so slow that a flush takes longer than its period, half the time may go into writing, but not more. */
void mirror_flush_schedule(struct mirror *mirror, uint64_t took_ns)
{
    uint64_t most_ns = flush_period_ns_max(mirror);
    uint64_t period_ns = flush_period_ns(mirror);
    uint64_t rest_ns = took_ns < period_ns ? period_ns - took_ns : took_ns < most_ns ? took_ns : most_ns;
    timer_start(mirror->config.loop, &mirror->flush_timer,
                mirror_now_ns(mirror) + (rest_ns > FLUSH_REST_NS_MIN ? rest_ns : FLUSH_REST_NS_MIN));
}

void mirror_write_all(struct mirror *mirror)
{
    changes_mark_all_dirty(mirror->config.cluster);
    if (mirror->refused || mirror->refusing)
        changes_mark_words_dirty(mirror->config.cluster);
    mirror->whole_next = true;
    mirror->settled = false;
}

void mirror_refusal_tell(struct mirror *mirror)
{
    if (!mirror->refusing)
        LOG(MESSAGE_REDIS_REFUSES, LOG_TEXT("reason", mirror->refusal));
    mirror->refusing = true;
}

/* Redis may refuse some commands and accept others: a flush that met no refusal may just have had none of the refused kind. Only one that
 * writes everything tells that the trouble is over, and brings what was refused. */
static void refusal_look(struct mirror *mirror)
{
    if (mirror->refused) {
        mirror_refusal_tell(mirror);
    } else if (mirror->refusing && mirror->whole && !mirror->time_refused) {
        LOG(MESSAGE_REDIS_ACCEPTS);
        mirror->refusing = false;
    } else if (mirror->refusing && mirror_now_ns(mirror) - mirror->whole_ns >= WHOLE_INTERVAL_NS) {
        mirror_write_all(mirror);
    }
}

static void flush_end(struct mirror *mirror)
{
    mirror->flushing = false;
    mirror->flush_ended_ns = mirror_now_ns(mirror);
    mirror->flush_count++;
    mirror->mirrored_fresh = mirror->flush_fresh;
    mirror->settled = mirror->settled || (mirror->whole && !mirror->whole_next);
    counter_add(mirror->config.counters, COUNTER_MIRROR_FLUSHES, 1);
    refusal_look(mirror);
    mirror_flush_schedule(mirror, mirror_now_ns(mirror) - mirror->flush_started_ns);
}

/* But for the expired. */
static bool flush_is_sent(const struct mirror *mirror)
{
    return mirror->flush_left == 0 && (!mirror->loads_now || mirror_order_left(&mirror->loads) == 0);
}

/* Batches are spread over a third of the time until the next flush, and those of loads over another, since Redis would else keep heartbeats
 * from their CPU while it works off what comes all at once. A flush that leaves loads out takes no longer over the rest: of two flushes each
 * writes a node at the same time after its beginning, however different they are. */
static uint64_t flush_gap_ns(const struct mirror *mirror)
{
    uint32_t nodes = mirror->flush_left > 0 ? mirror->flush_nodes : mirror->loads.count;
    uint64_t gap_ns = nodes_period_ns(mirror, nodes) / 3 / (nodes / MIRROR_BATCH_NODES + 1);
    return gap_ns < FLUSH_GAP_NS_MAX ? gap_ns : FLUSH_GAP_NS_MAX;
}

/* A batch is due so long after the one before was, not after it was sent: the turns of a busy loop come late, and after a thousand of them a
 * flush would have taken twice its time. Expired beats have time: their commands are so far apart at least. */
void mirror_flush_continue(struct mirror *mirror)
{
    uint64_t now_ns = mirror_now_ns(mirror);
    uint64_t gap_ns = flush_gap_ns(mirror);
    uint64_t due_ns = mirror->pump_due_ns + gap_ns;
    if (due_ns + FLUSH_GAPS_BEHIND * gap_ns < now_ns)
        due_ns = now_ns - FLUSH_GAPS_BEHIND * gap_ns;
    if (flush_is_sent(mirror))
        due_ns = now_ns + EXPIRY_GAP_NS;
    mirror->pump_due_ns = due_ns;
    timer_start(mirror->config.loop, &mirror->pump_timer, mirror->finishing ? 0 : due_ns);
}

void mirror_flush_look(struct mirror *mirror)
{
    if (mirror->flushing && mirror->expiry == MIRROR_EXPIRY_DONE && mirror->calls == 0)
        flush_end(mirror);
}

bool mirror_flush_answered(struct mirror *mirror, const struct redisReply *reply)
{
    mirror->calls--;
    if (!reply)
        return false; /* on_down ends the flush */
    if (!redis_reply_is_error(reply))
        return true;
    counter_add(mirror->config.counters, COUNTER_MIRROR_ERRORS, 1);
    mirror->refused = true;
    snprintf(mirror->refusal, sizeof(mirror->refusal), "%s", redis_reply_text(reply, NULL));
    return false;
}

static void on_written(void *ctx, const struct redisReply *reply)
{
    struct mirror *mirror = ctx;
    (void)!mirror_flush_answered(mirror, reply);
    if (!reply)
        return;
    if (!flush_is_sent(mirror) && !timer_is_running(&mirror->pump_timer))
        mirror_flush_continue(mirror);
    mirror_flush_look(mirror);
}

/* Losing a command loses nothing for good: if memory ran out the node's next heartbeat brings it again; if the connection broke
 * everything is written anew. */
void mirror_flush_send(struct mirror *mirror, redis_on_reply *on_reply)
{
    if (redis_connection_call(mirror->connection, &mirror->command, on_reply, mirror) == 0)
        mirror->calls++;
    else
        counter_add(mirror->config.counters, COUNTER_MIRROR_ERRORS, 1);
}

static void batch_send(struct mirror *mirror, const struct mirror_batch *batch)
{
    for (enum mirror_command kind = 0; kind < MIRROR_COMMANDS; kind++)
        if (mirror_batch_command(batch, kind, &mirror->command))
            mirror_flush_send(mirror, on_written);
}

/* The first half of a flush: all about the next nodes but their loads. */
static void nodes_send(struct mirror *mirror)
{
    struct mirror_batch batch;
    mirror_batch_take(mirror->config.cluster, mirror->config.region, mirror->clock_offset_ms, mirror_now_ns(mirror),
                      mirror->flush_left, mirror->metadata_left, &batch);
    mirror->metadata_left -= batch.metadata_count < mirror->metadata_left ? batch.metadata_count : mirror->metadata_left;
    mirror->flush_left = batch.count > 0 ? mirror->flush_left - batch.count : 0;
    counter_add(mirror->config.counters, COUNTER_MIRROR_NODES, batch.count);
    mirror_batch_put_loads_off(mirror->config.cluster, &batch, &mirror->loads);
    batch_send(mirror, &batch);
}

/* The second half, of a flush that writes loads. */
static void loads_send(struct mirror *mirror)
{
    struct mirror_batch batch;
    if (mirror->loads.taken == 0)
        mirror_order_sort(&mirror->loads);
    mirror_batch_take_loads(mirror->config.cluster, mirror->config.region, &mirror->loads, &batch);
    batch_send(mirror, &batch);
}

/* One batch a turn, however many calls Redis would take: with 100,000 nodes to write, a turn that filled all slots would keep
 * heartbeats waiting for tens of milliseconds. */
static void flush_pump(struct mirror *mirror)
{
    bool has_room = redis_connection_calls(mirror->connection) + MIRROR_COMMANDS + 1 < REDIS_CALLS_MAX;
    if (!flush_is_sent(mirror) && has_room) {
        if (mirror->flush_left > 0)
            nodes_send(mirror);
        else
            loads_send(mirror);
    }
    if (flush_is_sent(mirror))
        mirror_expire(mirror);
    else if (has_room)
        mirror_flush_continue(mirror);
    else /* none of the calls may be ours, whose answers would go on with it */
        timer_start(mirror->config.loop, &mirror->pump_timer, mirror_now_ns(mirror) + BUSY_GAP_NS);
}

/* What is noted stays noted until a flush has written it. One that was broken off is followed by one that writes everything. */
static void loads_decide(struct mirror *mirror)
{
    if (mirror->loads_now)
        mirror_order_clear(&mirror->loads);
    mirror->loads_now = !mirror->loads_now || mirror->whole || mirror->finishing || flush_period_ns(mirror) <= FLUSH_INTERVAL_NS;
}

void mirror_flush_begin(struct mirror *mirror)
{
    mirror->flushing = true;
    mirror->expiry = MIRROR_EXPIRY_AHEAD;
    mirror->expiry_portions = 0;
    mirror->refused = false;
    mirror->whole = mirror->whole_next;
    mirror->whole_next = false;
    if (mirror->whole)
        mirror->whole_ns = mirror_now_ns(mirror);
    mirror->calls = 0;
    mirror->flush_nodes = mirror->config.cluster->dirty.count;
    mirror->flush_left = mirror->flush_nodes;
    mirror->metadata_left = mirror->finishing ? UINT32_MAX : (uint32_t)(flush_period_ns(mirror) / METADATA_NODE_NS);
    loads_decide(mirror);
    mirror->flush_fresh = mirror->config.cluster->states[NODE_FRESH].count;
    mirror->flush_started_ns = mirror_now_ns(mirror);
    mirror->pump_due_ns = mirror->flush_started_ns;
    flush_pump(mirror);
}

void mirror_on_pump(void *ctx, struct timer *timer)
{
    (void)timer;
    flush_pump(ctx);
}

void mirror_on_flush(void *ctx, struct timer *timer)
{
    struct mirror *mirror = ctx;
    (void)timer;
    if (mirror->ready && !mirror->flushing)
        mirror_flush_begin(mirror);
}
