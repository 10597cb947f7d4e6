/* The mirror against a real redis-server, on a socket in a folder of its own. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/redis/redis_server.h"
#include "rm/mirror.h"
#include "rm/mirror_batch.h"
#include "rm/mirror_internal.h"
#include "tests/unit/rm/fixture.h"
#include "tests/unit/rm/redis_peek.h"

#define WAIT_NS (10 * NS_PER_S)

static struct loop *loop;
static char folder[] = "/tmp/usher-mirror-XXXXXX";
static struct redis_server *server;
static struct fixture *fixture;
static struct mirror *mirror;
static struct counters counters;
static uint32_t loads;
static uint32_t words_told;
static bool beating; /* nodes 1 … 3 heartbeat all the while */

static void on_loaded(void *ctx)
{
    (void)ctx;
    loads++;
}

static void on_started(void *ctx)
{
    (void)ctx;
    if (mirror)
        mirror_hurry(mirror);
}

static void on_ended(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

static void on_words(void *ctx)
{
    (void)ctx;
    words_told++;
}

static void mirror_open(void)
{
    struct mirror_config config = {.loop = loop,
                                   .cluster = fixture->cluster,
                                   .counters = &counters,
                                   .target = *redis_server_target(server),
                                   .region = 1,
                                   .seed = 1,
                                   .on_loaded = on_loaded,
                                   .on_words = on_words};
    cr_assert_eq(mirror_new(&config, &mirror), 0);
}

/* The fixture's clock is the loop's here. */
static void clock_follow(void)
{
    fixture->now.ns = loop_now_ns(loop);
    fixture->now.wall_ms = loop_wall_ms(loop);
}

static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&config, &loop), 0);
    cr_assert_not_null(mkdtemp(folder));
    log_configure("test", LOG_ERROR, false);
    struct redis_server_config redis = {.loop = loop, .folder = folder, .on_started = on_started, .on_ended = on_ended};
    cr_assert_eq(redis_server_new(&redis, &server), 0);
    fixture = fixture_new(false);
    fixture->sequence = 1000;
    clock_follow();
    fixture->cluster->started_ns = fixture->now.ns;
    mirror_open();
}

static void teardown(void)
{
    mirror_free(mirror);
    redis_server_free(server, 5 * NS_PER_S);
    fixture_free(fixture);
    loop_free(loop);
    redis_peek_clean(folder);
}

TestSuite(mirror, .init = setup, .fini = teardown, .timeout = 60);

static void run_once(void)
{
    cr_assert_eq(loop_run_once(loop, 5 * NS_PER_MS), 0);
    clock_follow();
    (void)cluster_sweep(fixture->cluster, fixture->now);
    for (uint32_t i = 1; beating && i <= 3; i++)
        fixture_beat(fixture, i, 0.5f * (float)i);
}

static void run_for(uint64_t duration_ns)
{
    uint64_t until_ns = clock_monotonic_ns() + duration_ns;
    while (clock_monotonic_ns() < until_ns)
        run_once();
}

static bool is_up(void)
{
    return mirror_is_up(mirror);
}

static bool is_down(void)
{
    return !mirror_is_up(mirror);
}

static bool is_written(void)
{
    return mirror_is_up(mirror) && mirror_lag_ns(mirror) < 50 * NS_PER_MS &&
           redis_peek_count(redis_server_target(server)->path, "ZCARD usher:1:beats") == 3;
}

static void wait_until(bool (*condition)(void))
{
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    while (!condition() && clock_monotonic_ns() < until_ns)
        run_once();
    cr_assert(condition());
}

static int64_t ask(const char *command)
{
    return redis_peek_count(redis_server_target(server)->path, command);
}

Test(mirror, stopped_redis_holds_nobody_up)
{
    beating = true;
    wait_until(is_written);
    cr_assert_eq(kill(redis_server_pid(server), SIGSTOP), 0);
    wait_until(is_down);
    uint64_t slowest_ns = 0;
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t began_ns = clock_monotonic_ns();
        run_once();
        uint64_t took_ns = clock_monotonic_ns() - began_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
    }
    cr_assert_lt(slowest_ns, 50 * NS_PER_MS);
    cr_assert_leq(fixture->cluster->dirty.count, 3);
    cr_assert_eq(kill(redis_server_pid(server), SIGCONT), 0);
    wait_until(is_written);
}

Test(mirror, redis_restarted_empty_is_written_anew)
{
    beating = true;
    wait_until(is_written);
    cr_assert_eq(ask("FLUSHALL"), 0);
    cr_assert_eq(kill(redis_server_pid(server), SIGKILL), 0);
    wait_until(is_down);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 3);
    wait_until(is_written);
    cr_assert_eq(ask("HLEN usher:1:nodes"), 3);
    cr_assert_eq(fixture->cluster->removal_count, 0);
}

Test(mirror, many_nodes_are_written_in_as_many_turns)
{
    enum { NODES = 3000 };
    uint64_t most = 0;
    wait_until(is_up);
    for (uint32_t i = 0; i < NODES; i++)
        fixture_beat(fixture, i, 1);
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    uint64_t written = counter_read(&counters, COUNTER_MIRROR_NODES);
    while (fixture->cluster->dirty.count > 0 && clock_monotonic_ns() < until_ns) {
        run_once();
        uint64_t now_written = counter_read(&counters, COUNTER_MIRROR_NODES);
        most = now_written - written > most ? now_written - written : most;
        written = now_written;
    }
    cr_assert_eq(fixture->cluster->dirty.count, 0);
    cr_assert_leq(most, MIRROR_BATCH_NODES);
    mirror_finish(mirror, NS_PER_S);
    cr_assert_eq(ask("ZCARD usher:1:beats"), NODES);
}

static bool is_settled(void)
{
    mirror_check(mirror);
    return ask("HLEN usher:1:nodes") == 5000;
}

/* Their metadata take several flushes, and nobody may take that for a loss; nor what is not yet written anew to one that comes back. */
Test(mirror, many_nodes_that_join_are_no_loss_and_a_loss_is_found)
{
    wait_until(is_up);
    for (uint32_t i = 0; i < 5000; i++)
        fixture_beat(fixture, i, 1);
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    while (!is_settled() && clock_monotonic_ns() < until_ns) {
        run_for(50 * NS_PER_MS);
        for (uint32_t i = 0; i < 5000; i++)
            fixture_beat(fixture, i, 1);
    }
    run_for(200 * NS_PER_MS);
    cr_assert_eq(ask("HLEN usher:1:nodes"), 5000);
    cr_assert_eq(fixture->cluster->put_off_count, 0);
    cr_assert_eq(counter_read(&counters, COUNTER_REDIS_FORGOT), 0);
    cr_assert_eq(ask("FLUSHALL"), 0);
    cr_assert_eq(ask("CLIENT KILL TYPE normal"), 1);
    wait_until(is_down);
    wait_until(is_up);
    mirror_check(mirror);
    run_for(200 * NS_PER_MS);
    cr_assert_eq(counter_read(&counters, COUNTER_REDIS_FORGOT), 0, "a new connection, and all is being written");
    cr_assert_eq(ask("FLUSHALL"), 0);
    run_for(300 * NS_PER_MS);
    mirror_check(mirror);
    run_for(100 * NS_PER_MS);
    cr_assert_eq(counter_read(&counters, COUNTER_REDIS_FORGOT), 1);
}

Test(mirror, redis_shows_the_truth)
{
    beating = true;
    wait_until(is_written);
    cr_assert_eq(ask("ZCARD usher:1:loads"), 3);
    cr_assert_eq(ask("HLEN usher:1:nodes"), 3);
    cr_assert_eq(ask("ZCARD usher:1:faults"), 0);
    double now_ms = (double)clock_wall_ms();
    double beat_ms = redis_peek_number(redis_server_target(server)->path, "ZSCORE usher:1:beats 10.0.0.2:7500");
    cr_assert_leq(now_ms - beat_ms, 500);
    cr_assert_geq(now_ms - beat_ms, -50);
    cr_assert_eq(redis_peek_number(redis_server_target(server)->path, "ZSCORE usher:1:loads 10.0.0.3:7500"), 1.5);
}

Test(mirror, expired_node_moves_to_the_fault_list_and_back)
{
    fixture->cluster->config.valid_ns = NS_PER_S / 2;
    beating = true;
    fixture_beat(fixture, 4, 1);
    wait_until(is_up);
    run_for(NS_PER_S);
    cr_assert_eq(ask("ZCARD usher:1:beats"), 3);
    cr_assert_eq(ask("ZCARD usher:1:loads"), 3);
    cr_assert_eq(ask("ZCARD usher:1:faults"), 1);
    fixture_beat(fixture, 4, 1);
    run_for(NS_PER_S * 3 / 10);
    cr_assert_eq(ask("ZCARD usher:1:beats"), 4);
    cr_assert_eq(ask("ZCARD usher:1:faults"), 0);
}

#define BEATS "usher:1:beats"

static void expired_fill(uint32_t count, uint32_t per_ms)
{
    redis_peek_fill(redis_server_target(server)->path, BEATS, count, clock_wall_ms() - 600000, per_ms);
}

static bool beats_are_gone(void)
{
    return ask("ZCARD " BEATS) == 0;
}

Test(mirror, very_many_beats_of_the_same_millisecond_expire_too)
{
    wait_until(is_up);
    expired_fill(2 * MIRROR_EXPIRE_NODES + 1, 2 * MIRROR_EXPIRE_NODES);
    wait_until(beats_are_gone);
}

Test(mirror, beats_that_expire_together_go_in_portions)
{
    int64_t most = 0;
    beating = true;
    wait_until(is_written);
    expired_fill(20000, 100);
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    for (int64_t left = ask("ZCARD " BEATS), now; left > 3 && clock_monotonic_ns() < until_ns; left = now) {
        run_once();
        now = ask("ZCARD " BEATS);
        most = left - now > most ? left - now : most;
    }
    cr_expect_eq(ask("ZCARD " BEATS), 3, "those of the living stay");
    cr_expect_gt(most, 0);
    cr_expect_leq(most, MIRROR_EXPIRE_NODES);
}

/* A slow command may be one that was not let to the CPU: of several tries one is enough. */
Test(mirror, hundred_thousand_expired_beats_block_redis_for_no_5_ms)
{
    int64_t slow = 1;
    wait_until(is_up);
    cr_assert_eq(ask("CONFIG SET slowlog-log-slower-than 5000"), 0);
    for (int tries = 0; tries < 5 && slow > 0; tries++) {
        expired_fill(100000, 100);
        cr_assert_eq(ask("SLOWLOG RESET"), 0);
        wait_until(beats_are_gone);
        slow = ask("SLOWLOG LEN");
    }
    cr_expect_eq(slow, 0);
}

Test(mirror, next_rm_knows_what_the_last_one_knew)
{
    struct address address = fixture_address(2);
    beating = true;
    wait_until(is_written);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "disk"), 0);
    mirror_finish(mirror, NS_PER_S);
    mirror_free(mirror);
    fixture_free(fixture);
    beating = false;
    fixture = fixture_new(false);
    clock_follow();
    fixture->cluster->started_ns = fixture->now.ns;
    loads = 0;
    mirror_open();
    wait_until(is_up);
    cr_assert_eq(loads, 1);
    cr_assert_eq(cluster_listed_count(fixture->cluster), 3);
    uint32_t slot = cluster_find(fixture->cluster, &address);
    const struct node *node = &fixture->cluster->nodes[slot];
    cr_assert(node->restored);
    cr_assert(node_is_drained(node));
    cr_assert_str_eq(node->reason, "disk");
    cr_assert_lt(node_age_ns(node, fixture->now.ns), NS_PER_S);
}

Test(mirror, beats_of_another_rm_are_kept)
{
    beating = true;
    wait_until(is_written);
    char command[128];
    snprintf(command, sizeof(command), "ZADD usher:1:beats %llu 10.0.0.9:7500", (unsigned long long)clock_wall_ms());
    cr_assert_eq(ask(command), 1);
    run_for(NS_PER_S / 2);
    cr_assert_eq(ask("ZCARD usher:1:beats"), 4);
}

static bool refusal_is_told(void)
{
    return strstr(mirror_reason(mirror), "NOPERM") != NULL;
}

/* As of a sentinel that was given for a server. */
Test(mirror, server_that_does_not_tell_its_time_is_told)
{
    wait_until(is_up);
    cr_assert_eq(ask("ACL SETUSER default -time"), 0);
    cr_assert_eq(ask("CLIENT KILL TYPE normal"), 1);
    wait_until(refusal_is_told);
    cr_assert_not(mirror_is_up(mirror));
}

static bool is_refused(void)
{
    return mirror_refusal(mirror)[0] != '\0';
}

static bool is_accepted(void)
{
    return mirror_is_up(mirror) && !is_refused();
}

/* One episode, though most flushes have nothing that is refused: 2 s of them in which nobody says that all is well. */
static void refusal_lasts(const char *reason)
{
    wait_until(is_refused);
    cr_expect_not_null(strstr(mirror_reason(mirror), reason), "%s", mirror_reason(mirror));
    uint64_t until_ns = clock_monotonic_ns() + 2 * NS_PER_S;
    while (clock_monotonic_ns() < until_ns) {
        run_once();
        cr_assert(is_refused());
    }
    cr_expect(mirror_is_up(mirror));
}

Test(mirror, redis_without_memory_refuses_until_everything_is_written)
{
    beating = true;
    wait_until(is_written);
    beating = false;
    cr_assert_eq(ask("CONFIG SET maxmemory 1"), 0);
    fixture_beat(fixture, 1, 1);
    refusal_lasts("OOM");
    cr_assert_eq(ask("CONFIG SET maxmemory 0"), 0);
    cr_assert_eq(ask("DEL usher:1:nodes"), 1);
    wait_until(is_accepted);
    cr_expect_eq(ask("HLEN usher:1:nodes"), 3);
}

Test(mirror, key_of_another_type_is_refused_until_it_is_gone)
{
    beating = true;
    wait_until(is_written);
    cr_assert_eq(ask("DEL usher:1:faults"), 0);
    cr_assert_eq(ask("SET usher:1:faults x"), 0);
    refusal_lasts("WRONGTYPE");
    cr_assert_eq(ask("DEL usher:1:faults"), 1);
    wait_until(is_accepted);
}

/* ---- another rm shares the store ---- */

static bool second_is_drained(void)
{
    return node_is_drained(&fixture->cluster->nodes[1]);
}

static bool word_is_ours(void)
{
    return ask("HSTRLEN usher:1:admin 10.0.0.2:7500") > 20;
}

Test(mirror, word_that_another_rm_has_written_is_heard)
{
    beating = true;
    wait_until(is_written);
    char command[200];
    snprintf(command, sizeof(command),
             "HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":%llu,\"writer\":\"0000000000000063\",\"drain\":true}",
             (unsigned long long)fixture->now.wall_ms);
    cr_assert_eq(ask(command), 1);
    wait_until(second_is_drained);
    cr_assert_eq(words_told, 1);
}

Test(mirror, older_word_of_another_rm_is_written_over)
{
    struct address address = fixture_address(2);
    beating = true;
    wait_until(is_written);
    cr_assert_eq(cluster_admin_set(fixture->cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "a reason of our own"), 0);
    wait_until(word_is_ours);
    cr_assert_eq(ask("HSET usher:1:admin 10.0.0.2:7500 {}"), 0);
    cr_assert_eq(ask("HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":5,\"writer\":\"0000000000000063\",\"drain\":false}"), 0);
    run_for(NS_PER_S * 3 / 2);
    cr_assert(second_is_drained());
    mirror_finish(mirror, NS_PER_S);
    cr_assert_gt(ask("HSTRLEN usher:1:admin 10.0.0.2:7500"), 80, "with its reason");
}
