/* Operators' words in a real Redis, which others write and empty too. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "rm/mirror_internal.h"
#include "tests/unit/rm/mirror_stage.h"

TestSuite(mirror_words, .init = stage_setup, .fini = stage_teardown, .timeout = 60);

/* ---- another rm shares the store ---- */

static bool second_is_drained(void)
{
    return node_is_drained(&stage.fixture->cluster->nodes[1]);
}

static bool word_is_ours(void)
{
    return stage_ask("HSTRLEN usher:1:admin 10.0.0.2:7500") > 20;
}

Test(mirror_words, word_that_another_rm_has_written_is_heard)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    char command[200];
    snprintf(command, sizeof(command),
             "HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":%llu,\"writer\":\"0000000000000063\",\"drain\":true}",
             (unsigned long long)stage.fixture->now.wall_ms);
    cr_assert_eq(stage_ask(command), 1);
    stage_wait_until(second_is_drained);
    cr_assert_eq(stage.words_told, 1);
}

/* Another rm may say something later at any moment. */
Test(mirror_words, word_that_stands_there_is_left_alone_when_everything_is_written)
{
    char word[120], command[200];
    stage.beating = true;
    stage_wait_until(stage_is_written);
    snprintf(word, sizeof(word), "{\"version_ms\":%llu,\"writer\":\"0000000000000063\",\"drain\":true,\"by\":\"hand\"}",
             (unsigned long long)stage.fixture->now.wall_ms);
    snprintf(command, sizeof(command), "HSET usher:1:admin 10.0.0.2:7500 %s", word);
    cr_assert_eq(stage_ask(command), 1);
    stage_wait_until(second_is_drained);
    mirror_write_all(stage.mirror);
    mirror_finish(stage.mirror, 5 * NS_PER_S);
    cr_assert_eq(stage_ask("HSTRLEN usher:1:admin 10.0.0.2:7500"), (int64_t)strlen(word), "as the other one wrote it");
}

static uint32_t words_read; /* by mirror_word_read */

static void on_word_read(void *ctx)
{
    (void)ctx;
    words_read++;
}

static bool word_is_read(void)
{
    return words_read == 1;
}

/* Before the next reading of all words, so that it says more who speaks next. */
Test(mirror_words, word_that_another_rm_has_just_been_told_is_read_when_we_are_told_more)
{
    struct address address = fixture_address(2);
    stage.beating = true;
    stage_wait_until(stage_is_written);
    timer_stop(&stage.mirror->words_timer);
    char command[200];
    snprintf(command, sizeof(command),
             "HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":%llu,\"writer\":\"0000000000000063\",\"drain\":true}",
             (unsigned long long)stage.fixture->now.wall_ms);
    cr_assert_eq(stage_ask(command), 1);
    cr_assert_eq(mirror_word_read(stage.mirror, &address, on_word_read, NULL), 0);
    stage_wait_until(word_is_read);
    cr_assert(second_is_drained());
    cr_expect_eq(stage.words_told, 1, "dispatchers are to hear of it");
    cr_assert_eq(cluster_admin_weight(stage.fixture->cluster, stage.fixture->now, &address, &(float){5}), 0);
    cr_expect(second_is_drained());
}

/* Nothing, garbage, a refusal and a connection that breaks: whoever waits can go on. */
Test(mirror_words, word_that_cannot_be_read_keeps_nobody_waiting)
{
    static const char *const commands[] = {"DEL usher:1:admin", "HSET usher:1:admin 10.0.0.2:7500 garbage", "DEL usher:1:admin",
                                           "SET usher:1:admin x"};
    struct address address = fixture_address(2);
    stage.beating = true;
    stage_wait_until(stage_is_written);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        cr_assert_geq(stage_ask(commands[i]), 0);
        stage_wait_until(stage_is_up);
        words_read = 0;
        cr_assert_eq(mirror_word_read(stage.mirror, &address, on_word_read, NULL), 0);
        stage_wait_until(word_is_read);
        cr_expect_not(second_is_drained());
    }
    words_read = 0;
    stage_wait_until(stage_is_up);
    cr_assert_eq(kill(redis_server_pid(stage.server), SIGSTOP), 0);
    cr_assert_eq(mirror_word_read(stage.mirror, &address, on_word_read, NULL), 0);
    stage_wait_until(word_is_read);
    stage_wait_until(stage_is_down);
    cr_expect_eq(mirror_word_read(stage.mirror, &address, on_word_read, NULL), -ENOTCONN);
    cr_assert_eq(kill(redis_server_pid(stage.server), SIGCONT), 0);
}

Test(mirror_words, older_word_of_another_rm_is_written_over)
{
    struct address address = fixture_address(2);
    stage.beating = true;
    stage_wait_until(stage_is_written);
    cr_assert_eq(
        cluster_admin_set(stage.fixture->cluster, stage.fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "a reason of our own"), 0);
    stage_wait_until(word_is_ours);
    cr_assert_eq(stage_ask("HSET usher:1:admin 10.0.0.2:7500 {}"), 0);
    cr_assert_eq(stage_ask("HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":5,\"writer\":\"0000000000000063\",\"drain\":false}"),
                 0);
    stage_run_for(NS_PER_S * 3 / 2);
    cr_assert(second_is_drained());
    mirror_finish(stage.mirror, NS_PER_S);
    cr_assert_gt(stage_ask("HSTRLEN usher:1:admin 10.0.0.2:7500"), 80, "with its reason");
}

/* ---- operators' words that Redis has lost, while heartbeats go on and a heartbeat's content is there again at once ---- */

static struct address drained_at(uint32_t number)
{
    struct address address = fixture_address(number);
    cr_assert_eq(
        cluster_admin_set(stage.fixture->cluster, stage.fixture->now, &address, WIRE_ADMIN_DRAIN, 0, "a reason of our own"), 0);
    return address;
}

static bool words_are_read(void)
{
    return stage.fixture->cluster->word_reading >= 2 && !stage.mirror->loading;
}

static bool two_words_stand_there(void)
{
    return stage_ask("HLEN usher:1:admin") == 2 && stage_ask("HSTRLEN usher:1:admin 10.0.0.2:7500") > 80 &&
           stage_ask("HSTRLEN usher:1:admin 10.0.0.9:7500") > 80;
}

/* Nodes 1 … 3 beat, 9 has heartbeaten once. */
static void words_give(void)
{
    fixture_beat(stage.fixture, 9, 1);
    stage.beating = true;
    stage_wait_until(stage_is_up);
    (void)drained_at(2);
    (void)drained_at(9);
    stage_wait_until(two_words_stand_there);
    stage_wait_until(words_are_read);
    cr_assert_eq(counter_read(&stage.counters, COUNTER_REDIS_FORGOT), 0);
}

/* On a machine that stands still for 100 ms Redis counts as lost, and everything is written anew for that reason. */
static void expect_forgot(uint64_t times)
{
    if (counter_read(&stage.counters, COUNTER_REDIS_LOST) == 0)
        cr_expect_eq(counter_read(&stage.counters, COUNTER_REDIS_FORGOT), times);
}

Test(mirror_words, words_that_redis_has_lost_are_written_again)
{
    words_give();
    cr_assert_eq(stage_ask("FLUSHALL"), 0);
    stage_wait_until(two_words_stand_there);
    expect_forgot(1);
    stage_run_for(NS_PER_S * 5 / 2);
    cr_assert_eq(stage_ask("DEL usher:1:admin"), 1);
    stage_wait_until(two_words_stand_there);
    stage_run_for(NS_PER_S * 5 / 2);
    expect_forgot(2);
}

Test(mirror_words, word_that_is_lost_or_unreadable_is_written_again)
{
    words_give();
    cr_assert_eq(stage_ask("HSET usher:1:admin 10.0.0.9:7500 garbage"), 0);
    stage_wait_until(two_words_stand_there);
    stage_run_for(NS_PER_S * 5 / 2);
    cr_assert_eq(stage_ask("HDEL usher:1:admin 10.0.0.2:7500"), 1);
    stage_wait_until(two_words_stand_there);
    expect_forgot(2);
    stage_run_for(NS_PER_S * 5 / 2);
    expect_forgot(2);
}

Test(mirror_words, words_whose_key_is_of_another_type_are_refused_until_it_is_gone)
{
    words_give();
    cr_assert_eq(stage_ask("DEL usher:1:admin"), 1);
    cr_assert_eq(stage_ask("SET usher:1:admin x"), 0);
    stage_refusal_lasts("WRONGTYPE");
    cr_assert_eq(stage_ask("DEL usher:1:admin"), 1);
    stage_wait_until(stage_is_accepted);
    cr_expect(two_words_stand_there());
}

/* Garbage about a node of which no operator has said anything is nobody's loss. */
Test(mirror_words, what_is_no_word_of_ours_is_left_alone)
{
    words_give();
    cr_assert_eq(stage_ask("HSET usher:1:admin 10.0.0.1:7500 garbage"), 1);
    cr_assert_eq(stage_ask("HSET usher:1:admin nonsense garbage"), 1);
    stage_run_for(NS_PER_S * 5 / 2);
    expect_forgot(0);
    cr_expect_eq(stage_ask("HSTRLEN usher:1:admin 10.0.0.1:7500"), 7);
}

/* The reading may pass by the place of a word that is on its way there. */
Test(mirror_words, word_that_is_being_written_is_not_missed)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    uint64_t until_ns = clock_monotonic_ns() + STAGE_WAIT_NS;
    uint32_t said = 0;
    while (stage.fixture->cluster->word_reading < 5 && clock_monotonic_ns() < until_ns) {
        for (uint32_t i = 0; i < 5; i++, said++) {
            fixture_beat(stage.fixture, 10 + said, 1);
            (void)drained_at(10 + said);
        }
        stage_run_once();
    }
    while (stage_ask("HLEN usher:1:admin") < said && clock_monotonic_ns() < until_ns)
        stage_run_once();
    cr_expect_eq(stage_ask("HLEN usher:1:admin"), said);
    cr_expect_geq(stage.fixture->cluster->word_reading, 5);
    expect_forgot(0);
}

static bool second_is_ready(void)
{
    return !second_is_drained();
}

static bool two_words_are_there(void)
{
    return stage_ask("HLEN usher:1:admin") == 2;
}

/* It has taken the drain back since we last read: a later word, so ours is not what is missing. */
Test(mirror_words, word_that_another_rm_has_taken_back_does_not_come_again)
{
    words_give();
    char command[200];
    snprintf(command, sizeof(command),
             "HSET usher:1:admin 10.0.0.2:7500 {\"version_ms\":%llu,\"writer\":\"0000000000000063\",\"drain\":false}",
             (unsigned long long)stage.fixture->now.wall_ms + 1);
    cr_assert_eq(stage_ask(command), 0);
    cr_assert_eq(stage_ask("HDEL usher:1:admin 10.0.0.9:7500"), 1);
    stage_wait_until(second_is_ready);
    stage_wait_until(two_words_are_there);
    cr_assert_eq(stage_ask("DEL usher:1:admin"), 1);
    stage_wait_until(two_words_are_there);
    stage_run_for(NS_PER_S * 3 / 2);
    cr_expect(second_is_ready());
    cr_expect_lt(stage_ask("HSTRLEN usher:1:admin 10.0.0.2:7500"), 80, "the other one's");
}

static bool words_are_being_read(void)
{
    return stage.mirror->loading && stage.mirror->ready;
}

/* What comes of it is no timer that outlives the mirror: the sanitizers look. */
Test(mirror_words, mirror_may_end_while_words_are_read)
{
    stage.beating = true;
    stage_wait_until(stage_is_written);
    stage_wait_until(words_are_being_read);
}
