#include "tests/unit/rm/mirror_stage.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "tests/unit/rm/redis_peek.h"

struct stage stage = {.folder = "/tmp/usher-mirror-XXXXXX"};

static void on_loaded(void *ctx)
{
    (void)ctx;
    stage.loads++;
}

static void on_started(void *ctx)
{
    (void)ctx;
    if (stage.mirror)
        mirror_hurry(stage.mirror);
}

static void on_ended(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

static void on_words(void *ctx)
{
    (void)ctx;
    stage.words_told++;
}

void stage_mirror_open(void)
{
    struct mirror_config config = {.loop = stage.loop,
                                   .cluster = stage.fixture->cluster,
                                   .counters = &stage.counters,
                                   .target = *redis_server_target(stage.server),
                                   .region = 1,
                                   .seed = 1,
                                   .on_loaded = on_loaded,
                                   .on_words = on_words};
    cr_assert_eq(mirror_new(&config, &stage.mirror), 0);
}

void stage_clock_follow(void)
{
    stage.fixture->now.ns = loop_now_ns(stage.loop);
    stage.fixture->now.wall_ms = loop_wall_ms(stage.loop);
}

void stage_setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &stage.loop), 0);
    cr_assert_not_null(mkdtemp(stage.folder));
    log_configure("test", LOG_ERROR, false);
    struct redis_server_config redis = {
        .loop = stage.loop, .folder = stage.folder, .on_started = on_started, .on_ended = on_ended};
    cr_assert_eq(redis_server_new(&redis, &stage.server), 0);
    stage.fixture = fixture_new(false);
    stage.fixture->sequence = 1000;
    stage_clock_follow();
    stage.fixture->cluster->started_ns = stage.fixture->now.ns;
    stage_mirror_open();
}

void stage_teardown(void)
{
    mirror_free(stage.mirror);
    redis_server_free(stage.server, 5 * NS_PER_S);
    fixture_free(stage.fixture);
    loop_free(stage.loop);
    redis_peek_clean(stage.folder);
}

void stage_run_once(void)
{
    cr_assert_eq(loop_run_once(stage.loop, 5 * NS_PER_MS), 0);
    stage_clock_follow();
    (void)cluster_sweep(stage.fixture->cluster, stage.fixture->now);
    for (uint32_t i = 1; stage.beating && i <= 3; i++)
        fixture_beat(stage.fixture, i, 0.5f * (float)i);
}

void stage_run_for(uint64_t duration_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + duration_ns;
    while (clock_monotonic_ns() < until_ns)
        stage_run_once();
}

bool stage_is_up(void)
{
    return mirror_is_up(stage.mirror);
}

bool stage_is_down(void)
{
    return !mirror_is_up(stage.mirror);
}

bool stage_is_written(void)
{
    return mirror_is_up(stage.mirror) && mirror_lag_ns(stage.mirror) < 50 * NS_PER_MS &&
           redis_peek_count(redis_server_target(stage.server)->path, "ZCARD usher:1:beats") == 3;
}

void stage_wait_until(bool (*condition)(void))
{
    uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
    while (!condition() && clock_monotonic_ns() < until_ns)
        stage_run_once();
    cr_assert(condition());
}

int64_t stage_ask(const char *command)
{
    return redis_peek_count(redis_server_target(stage.server)->path, command);
}

bool stage_is_refused(void)
{
    return mirror_refusal(stage.mirror)[0] != '\0';
}

bool stage_is_accepted(void)
{
    return mirror_is_up(stage.mirror) && !stage_is_refused();
}

void stage_refusal_lasts(const char *reason)
{
    stage_wait_until(stage_is_refused);
    cr_expect_not_null(strstr(mirror_reason(stage.mirror), reason), "%s", mirror_reason(stage.mirror));
    uint64_t until_ns = clock_monotonic_ns() + 2 * NS_PER_S;
    while (clock_monotonic_ns() < until_ns) {
        stage_run_once();
        cr_assert(stage_is_refused());
    }
    cr_expect(mirror_is_up(stage.mirror));
}
