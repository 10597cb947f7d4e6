#include "core/redis/redis_sentinel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/timer.h"
#include "core/redis/redis_connection.h"

/* What became of asking one sentinel. */
enum outcome {
    OUTCOME_SILENT, /* nothing yet; in the end: no answer */
    OUTCOME_USELESS, /* it answered, and named nobody */
    OUTCOME_MASTER,
};

struct redis_sentinel {
    struct loop *loop;
    struct redis_target target;
    void (*on_answer)(void *ctx, const struct address *master, const char *reason);
    void *ctx;
    uint64_t seed;
    struct redis_connection *connection; /* to the sentinel that is being asked; NULL: no question is under way */
    struct timer step_timer; /* the end of patience, or on to what follows; not from within the connection's calls */
    uint32_t index; /* of the sentinel that is being asked, or answered last */
    uint32_t asked; /* for this question */
    enum outcome outcome;
    enum outcome told; /* what the reason is about */
    struct address master;
    char reason[REDIS_REASON_BYTES];
};

static void sentinel_next(struct redis_sentinel *sentinel);

/* What a sentinel said tells more than that another one said nothing. */
static void reason_set(struct redis_sentinel *sentinel, enum outcome outcome, const char *what)
{
    char address[ADDRESS_TEXT_BYTES];
    if (sentinel->asked > 1 && sentinel->told > outcome)
        return;
    sentinel->told = outcome;
    snprintf(sentinel->reason, sizeof(sentinel->reason), "sentinel %s %.110s",
             address_format(&sentinel->target.sentinels[sentinel->index], address), what);
}

static void outcome_set(struct redis_sentinel *sentinel, enum outcome outcome)
{
    sentinel->outcome = outcome;
    timer_start(sentinel->loop, &sentinel->step_timer, 0);
}

static void on_named(void *ctx, const struct redisReply *reply)
{
    struct redis_sentinel *sentinel = ctx;
    char what[REDIS_REASON_BYTES];
    if (!reply)
        return; /* the connection broke, or is being freed: the deadline goes on */
    if (redis_reply_is_error(reply)) {
        snprintf(what, sizeof(what), "does not tell (is it a sentinel?): %s", redis_reply_text(reply, NULL));
    } else if (redis_reply_count(reply) != 2) {
        snprintf(what, sizeof(what), "knows no master called %s", sentinel->target.name);
    } else if (redis_reply_address(reply, &sentinel->master) < 0) { /* it may be told to name hosts, which we do not look up */
        snprintf(what, sizeof(what), "names \"%.40s\" instead of an IP address: set announce-hostnames no",
                 redis_reply_text(redis_reply_item(reply, 0), NULL));
    } else {
        outcome_set(sentinel, OUTCOME_MASTER);
        return;
    }
    reason_set(sentinel, OUTCOME_USELESS, what);
    outcome_set(sentinel, OUTCOME_USELESS);
}

static void on_up(void *ctx)
{
    struct redis_sentinel *sentinel = ctx;
    struct redis_command command = {.word_count = 0};
    redis_command_begin(&command, "SENTINEL");
    redis_command_add(&command, "get-master-addr-by-name");
    redis_command_add(&command, sentinel->target.name);
    if (redis_connection_call(sentinel->connection, &command, on_named, sentinel) < 0)
        outcome_set(sentinel, OUTCOME_SILENT);
    redis_command_done(&command);
}

static void on_down(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

static void question_end(struct redis_sentinel *sentinel, const struct address *master)
{
    timer_stop(&sentinel->step_timer);
    sentinel->asked = 0;
    sentinel->on_answer(sentinel->ctx, master, sentinel->reason);
}

/* The one that is being asked has answered, or had its time. */
static void on_step(void *ctx, struct timer *timer)
{
    struct redis_sentinel *sentinel = ctx;
    (void)timer;
    if (sentinel->outcome == OUTCOME_SILENT) {
        char what[REDIS_REASON_BYTES];
        const char *why = sentinel->connection ? redis_connection_reason(sentinel->connection) : "out of memory";
        snprintf(what, sizeof(what), "does not answer%s%.90s", why[0] ? ": " : "", why);
        reason_set(sentinel, OUTCOME_SILENT, what);
    }
    redis_connection_free(sentinel->connection);
    sentinel->connection = NULL;
    if (sentinel->outcome == OUTCOME_MASTER) {
        question_end(sentinel, &sentinel->master);
        return;
    }
    sentinel->index = (sentinel->index + 1) % sentinel->target.sentinel_count;
    if (sentinel->asked == sentinel->target.sentinel_count)
        question_end(sentinel, NULL);
    else
        sentinel_next(sentinel);
}

static void sentinel_next(struct redis_sentinel *sentinel)
{
    struct redis_connection_config config = {
        .loop = sentinel->loop,
        .target = {.kind = REDIS_TARGET_TCP,
                   .address = sentinel->target.sentinels[sentinel->index],
                   .login = sentinel->target.sentinel_login},
        .call_deadline_ns = REDIS_SENTINEL_DEADLINE_NS,
        .on_up = on_up,
        .on_down = on_down,
        .ctx = sentinel,
        .seed = ++sentinel->seed,
    };
    uint64_t patience_ns = REDIS_SENTINEL_DEADLINE_NS;
    sentinel->asked++;
    sentinel->outcome = OUTCOME_SILENT;
    if (redis_connection_new(&config, &sentinel->connection) < 0)
        patience_ns = 0;
    timer_start(sentinel->loop, &sentinel->step_timer, loop_now_ns(sentinel->loop) + patience_ns);
}

int redis_sentinel_new(const struct redis_sentinel_config *config, struct redis_sentinel **ret_sentinel)
{
    CHECK(config->target->kind == REDIS_TARGET_SENTINEL && config->target->sentinel_count > 0 && config->on_answer);
    struct redis_sentinel *sentinel = calloc(1, sizeof(*sentinel));
    if (!sentinel)
        return -ENOMEM;
    sentinel->loop = config->loop;
    sentinel->target = *config->target;
    sentinel->on_answer = config->on_answer;
    sentinel->ctx = config->ctx;
    sentinel->seed = config->seed;
    timer_init(&sentinel->step_timer, on_step, sentinel);
    *ret_sentinel = sentinel;
    return 0;
}

void redis_sentinel_free(struct redis_sentinel *sentinel)
{
    if (!sentinel)
        return;
    timer_stop(&sentinel->step_timer);
    redis_connection_free(sentinel->connection);
    free(sentinel);
}

void redis_sentinel_ask(struct redis_sentinel *sentinel)
{
    if (!redis_sentinel_is_asking(sentinel))
        sentinel_next(sentinel);
}

void redis_sentinel_doubt(struct redis_sentinel *sentinel)
{
    if (!redis_sentinel_is_asking(sentinel))
        sentinel->index = (sentinel->index + 1) % sentinel->target.sentinel_count;
}

bool redis_sentinel_is_asking(const struct redis_sentinel *sentinel)
{
    return sentinel->asked > 0;
}
