/* The mirror against a real redis-server. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "rm/mirror_batch.h"
#include "rm/mirror_internal.h"
#include "tests/unit/rm/mirror_stage.h"
#include "tests/unit/rm/redis_peek.h"

TestSuite(mirror, .init = stage_setup, .fini = stage_teardown, .timeout = 60);

Test(mirror, stopped_redis_holds_nobody_up)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(kill(redis_server_pid(stage.server), SIGSTOP), 0);
    stage_wait_until(stage_is_down);
    uint32_t slow = 0;
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t began_ns = clock_monotonic_ns();
        stage_run_once();
        slow += clock_monotonic_ns() - began_ns >= 50 * NS_PER_MS;
    }
    cr_assert_lt(slow, 10, "a machine that stands still now and then does not hold every turn up");
    cr_assert_leq(stage.fixture->cluster->dirty.count, 3);
    cr_assert_eq(kill(redis_server_pid(stage.server), SIGCONT), 0);
    stage_wait_until(stage_is_written);
}

Test(mirror, redis_restarted_empty_is_written_anew)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(stage_ask("FLUSHALL"), 0);
    cr_assert_eq(kill(redis_server_pid(stage.server), SIGKILL), 0);
    stage_wait_until(stage_is_down);
    cr_assert_eq(cluster_listed_count(stage.fixture->cluster), 3);
    stage_wait_until(stage_is_written);
    cr_assert_eq(stage_ask("HLEN usher:1:nodes"), 3);
    cr_assert_eq(stage.fixture->cluster->removal_count, 0);
}

Test(mirror, many_nodes_are_written_in_as_many_turns)
{
    enum { NODES = 3000 };
    uint64_t most = 0;
    stage_wait_until(stage_is_up);
    for (uint32_t i = 0; i < NODES; i++)
        fixture_beat(stage.fixture, i, 1);
    uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
    uint64_t written = counter_read(&stage.counters, COUNTER_MIRROR_NODES);
    while (stage.fixture->cluster->dirty.count > 0 && clock_monotonic_ns() < until_ns) {
        stage_run_once();
        uint64_t now_written = counter_read(&stage.counters, COUNTER_MIRROR_NODES);
        most = now_written - written > most ? now_written - written : most;
        written = now_written;
    }
    cr_assert_eq(stage.fixture->cluster->dirty.count, 0);
    cr_assert_leq(most, MIRROR_BATCH_NODES);
    mirror_finish(stage.mirror, NS_PER_S);
    cr_assert_eq(stage_ask("ZCARD usher:1:beats"), NODES);
}

/* Where flushes are stretched every second one leaves loads out. What it left out is written though the nodes say nothing more. */
Test(mirror, loads_that_a_flush_left_out_are_written_by_the_next)
{
    enum { NODES = 6000, ROUNDS = 4 };
    stage_wait_until(stage_is_up);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        char command[64];
        snprintf(command, sizeof(command), "ZCOUNT usher:1:loads %u %u", round, round);
        for (uint32_t i = 0; i < NODES; i++)
            fixture_beat(stage.fixture, i, (float)round);
        uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
        while (stage_ask(command) != NODES && clock_monotonic_ns() < until_ns)
            stage_run_for(10 * NS_PER_MS);
        cr_assert_eq(stage_ask(command), NODES, "round %u", round);
    }
}

static bool is_between_flushes(void)
{
    return mirror_is_up(stage.mirror) && !stage.mirror->flushing;
}

/* Begins a flush of so many nodes; for how long the mirror pauses after the first batch. */
static uint64_t flush_begin(uint32_t nodes)
{
    stage_wait_until(is_between_flushes);
    for (uint32_t i = 0; i < nodes; i++)
        fixture_beat(stage.fixture, i, 1);
    mirror_flush_begin(stage.mirror);
    return stage.mirror->pump_due_ns - stage.mirror->flush_started_ns;
}

/* 6,000 nodes at 20 us each are 120 ms, of which a third is used for 31 batches, so that Redis is never busy with many at once. And whether
 * loads follow or not: else who is written early in the one flush and late in the next would seem dead to others meanwhile. Loads that were left
 * out take no longer because there are few nodes in the flush that writes them. */
Test(mirror, batches_of_a_flush_are_spread_over_a_third_of_its_period)
{
    enum { NODES = 6000, GAP_NS = 120 * 1000 * 1000 / 3 / (NODES / MIRROR_BATCH_NODES + 1) };
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < 8 && !(seen[0] && seen[1]); i++) {
        uint64_t gap_ns = flush_begin(NODES);
        cr_expect(gap_ns >= GAP_NS - 10 && gap_ns <= GAP_NS + 10, "%llu ns", (unsigned long long)gap_ns);
        seen[stage.mirror->loads_now] = true;
    }
    cr_assert(seen[0] && seen[1], "flushes with and without loads");
    while (stage.mirror->loads_now)
        (void)flush_begin(NODES);
    uint64_t gap_ns = flush_begin(10);
    cr_expect(stage.mirror->loads_now && stage.mirror->loads.count >= NODES && stage.mirror->flush_left == 0);
    cr_expect(gap_ns >= GAP_NS - 10 && gap_ns <= GAP_NS + 10, "%llu ns", (unsigned long long)gap_ns);
}

static bool is_settled(void)
{
    mirror_check(stage.mirror);
    return stage_ask("HLEN usher:1:nodes") == 5000;
}

/* Their metadata take several flushes, and nobody may take that for a loss; nor what is not yet written anew to one that comes back. */
Test(mirror, many_nodes_that_join_are_no_loss_and_a_loss_is_found)
{
    stage_wait_until(stage_is_up);
    for (uint32_t i = 0; i < 5000; i++)
        fixture_beat(stage.fixture, i, 1);
    uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
    while (!is_settled() && clock_monotonic_ns() < until_ns) {
        stage_run_for(50 * NS_PER_MS);
        for (uint32_t i = 0; i < 5000; i++)
            fixture_beat(stage.fixture, i, 1);
    }
    stage_run_for(200 * NS_PER_MS);
    cr_assert_eq(stage_ask("HLEN usher:1:nodes"), 5000);
    cr_assert_eq(stage.fixture->cluster->put_off_count, 0);
    cr_assert_eq(counter_read(&stage.counters, COUNTER_REDIS_FORGOT), 0);
    cr_assert_eq(stage_ask("FLUSHALL"), 0);
    cr_assert_eq(stage_ask("CLIENT KILL TYPE normal"), 1);
    stage_wait_until(stage_is_down);
    stage_wait_until(stage_is_up);
    mirror_check(stage.mirror);
    stage_run_for(200 * NS_PER_MS);
    cr_assert_eq(counter_read(&stage.counters, COUNTER_REDIS_FORGOT), 0, "a new connection, and all is being written");
    cr_assert_eq(stage_ask("FLUSHALL"), 0);
    stage_run_for(300 * NS_PER_MS);
    mirror_check(stage.mirror);
    stage_run_for(100 * NS_PER_MS);
    cr_assert_eq(counter_read(&stage.counters, COUNTER_REDIS_FORGOT), 1);
}

Test(mirror, redis_shows_the_truth)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(stage_ask("ZCARD usher:1:loads"), 3);
    cr_assert_eq(stage_ask("HLEN usher:1:nodes"), 3);
    cr_assert_eq(stage_ask("ZCARD usher:1:faults"), 0);
    double now_ms = (double)clock_wall_ms();
    double beat_ms = redis_peek_number(redis_server_target(stage.server)->path, "ZSCORE usher:1:beats 10.0.0.2:7500");
    cr_assert_leq(now_ms - beat_ms, 500);
    cr_assert_geq(now_ms - beat_ms, -50);
    cr_assert_eq(redis_peek_number(redis_server_target(stage.server)->path, "ZSCORE usher:1:loads 10.0.0.3:7500"), 1.5);
}

Test(mirror, expired_node_moves_to_the_fault_list_and_back)
{
    stage.fixture->cluster->config.valid_ns = NS_PER_S / 2;
    stage.beating = true;
    fixture_beat(stage.fixture, 4, 1);
    stage_wait_until(stage_is_up);
    stage_run_for(NS_PER_S);
    cr_assert_eq(stage_ask("ZCARD usher:1:beats"), 3);
    cr_assert_eq(stage_ask("ZCARD usher:1:loads"), 3);
    cr_assert_eq(stage_ask("ZCARD usher:1:faults"), 1);
    fixture_beat(stage.fixture, 4, 1);
    stage_run_for(NS_PER_S * 3 / 10);
    cr_assert_eq(stage_ask("ZCARD usher:1:beats"), 4);
    cr_assert_eq(stage_ask("ZCARD usher:1:faults"), 0);
}

#define BEATS "usher:1:beats"

static void expired_fill(uint32_t count, uint32_t per_ms)
{
    redis_peek_fill(redis_server_target(stage.server)->path, BEATS, count, clock_wall_ms() - 600000, per_ms);
}

static bool beats_are_gone(void)
{
    return stage_ask("ZCARD " BEATS) == 0;
}

Test(mirror, very_many_beats_of_the_same_millisecond_expire_too)
{
    stage_wait_until(stage_is_up);
    expired_fill(2 * MIRROR_EXPIRE_NODES + 1, 2 * MIRROR_EXPIRE_NODES);
    stage_wait_until(beats_are_gone);
}

Test(mirror, beats_that_expire_together_go_in_portions)
{
    int64_t most = 0;
    stage.beating = true;
    stage_wait_until(stage_is_written);
    expired_fill(20000, 100);
    uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
    for (int64_t left = stage_ask("ZCARD " BEATS), now; left > 3 && clock_monotonic_ns() < until_ns; left = now) {
        stage_run_once();
        now = stage_ask("ZCARD " BEATS);
        most = left - now > most ? left - now : most;
    }
    cr_expect_eq(stage_ask("ZCARD " BEATS), 3, "those of the living stay");
    cr_expect_gt(most, 0);
    cr_expect_leq(most, MIRROR_EXPIRE_NODES);
}

/* A slow command may be one that was not let to the CPU: of several tries one is enough. */
Test(mirror, hundred_thousand_expired_beats_block_redis_for_no_5_ms)
{
    int64_t slow = 1;
    stage_wait_until(stage_is_up);
    cr_assert_eq(stage_ask("CONFIG SET slowlog-log-slower-than 5000"), 0);
    for (int tries = 0; tries < 5 && slow > 0; tries++) {
        expired_fill(100000, 100);
        cr_assert_eq(stage_ask("SLOWLOG RESET"), 0);
        stage_wait_until(beats_are_gone);
        slow = stage_ask("SLOWLOG LEN");
    }
    cr_expect_eq(slow, 0);
}

Test(mirror, next_rm_knows_what_the_last_one_knew)
{
    struct address address = fixture_address(2);
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(cluster_admin_set(stage.fixture->cluster, stage.fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "disk"), 0);
    mirror_finish(stage.mirror, NS_PER_S);
    mirror_free(stage.mirror);
    fixture_free(stage.fixture);
    stage.beating = false;
    stage.fixture = fixture_new(false);
    stage_clock_follow();
    stage.fixture->cluster->started_ns = stage.fixture->now.ns;
    stage.loads = 0;
    stage_mirror_open();
    stage_wait_until(stage_is_up);
    cr_assert_eq(stage.loads, 1);
    cr_assert_eq(cluster_listed_count(stage.fixture->cluster), 3);
    uint32_t slot = cluster_find(stage.fixture->cluster, &address);
    const struct node *node = &stage.fixture->cluster->nodes[slot];
    cr_assert(node->restored);
    cr_assert(node_is_drained(node));
    cr_assert_str_eq(node->reason, "disk");
    cr_assert_lt(node_age_ns(node, stage.fixture->now.ns), NS_PER_S);
}

Test(mirror, beats_of_another_rm_are_kept)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    char command[128];
    snprintf(command, sizeof(command), "ZADD usher:1:beats %llu 10.0.0.9:7500", (unsigned long long)clock_wall_ms());
    cr_assert_eq(stage_ask(command), 1);
    stage_run_for(NS_PER_S / 2);
    cr_assert_eq(stage_ask("ZCARD usher:1:beats"), 4);
}

static bool refusal_is_told(void)
{
    return strstr(mirror_reason(stage.mirror), "NOPERM") != NULL;
}

/* As of a sentinel that was given for a server. */
Test(mirror, server_that_does_not_tell_its_time_is_told)
{
    stage_wait_until(stage_is_up);
    cr_assert_eq(stage_ask("ACL SETUSER default -time"), 0);
    cr_assert_eq(stage_ask("CLIENT KILL TYPE normal"), 1);
    stage_wait_until(refusal_is_told);
    cr_assert_not(mirror_is_up(stage.mirror));
}

Test(mirror, redis_without_memory_refuses_until_everything_is_written)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    stage.beating = false;
    cr_assert_eq(stage_ask("CONFIG SET maxmemory 1"), 0);
    fixture_beat(stage.fixture, 1, 1);
    stage_refusal_lasts("OOM");
    cr_assert_eq(stage_ask("CONFIG SET maxmemory 0"), 0);
    cr_assert_eq(stage_ask("DEL usher:1:nodes"), 1);
    stage_wait_until(stage_is_accepted);
    cr_expect_eq(stage_ask("HLEN usher:1:nodes"), 3);
}

Test(mirror, key_of_another_type_is_refused_until_it_is_gone)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(stage_ask("DEL usher:1:faults"), 0);
    cr_assert_eq(stage_ask("SET usher:1:faults x"), 0);
    stage_refusal_lasts("WRONGTYPE");
    cr_assert_eq(stage_ask("DEL usher:1:faults"), 1);
    stage_wait_until(stage_is_accepted);
}
