/* Operators' words that wait for a real Redis, and what is answered. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/daemon/internal.h"
#include "rm/membership.h"
#include "rm/rm.h"
#include "tests/unit/rm/mirror_stage.h"

static struct daemon process;
static struct rm rm;
static char told[1024]; /* the answer; "": none yet */

static void setup(void)
{
    stage_setup();
    process.loop = stage.loop;
    rm = (struct rm){.daemon = &process, .cluster = stage.fixture->cluster, .mirror = stage.mirror};
    rm.subscribers = fixture_subscribers(stage.fixture, stage.loop, &rm.counters, NS_PER_S);
    told[0] = '\0';
}

static void teardown(void)
{
    subscribers_free(rm.subscribers);
    stage_teardown();
}

TestSuite(commands, .init = setup, .fini = teardown, .timeout = 60);

static void on_answer(void *ctx, const struct buffer *answer)
{
    (void)ctx;
    cr_assert_not_null(answer);
    snprintf(told, sizeof(told), "%.*s", (int)answer->length, (const char *)answer->bytes);
}

static bool is_told(void)
{
    return told[0] != '\0';
}

/* An operator says it; the answer waits for Redis. */
static void say(const char *line)
{
    static const struct admin_command commands[] = {
        {"drain", "NODE [--reason TEXT]", 1, 3, "", rm_admin_drain},
        {"weight", "NODE auto|N", 2, 2, "", rm_admin_weight},
    };
    static void *const state = &rm;
    const struct admin_table table = {.commands = commands, .count = ARRAY_COUNT(commands), .state = &state};
    struct buffer answer = {0};
    struct admin_rest rest;
    cr_assert_eq(admin_execute_or_wait(&table, 1, line, strlen(line), &answer, on_answer, NULL, &rest), ADMIN_LATER, "%.*s",
                 (int)answer.length, (const char *)answer.bytes);
    buffer_done(&answer);
}

/* Silent for an hour, as rm's sweep does it. */
static void forget(uint32_t number)
{
    struct address address = fixture_address(number);
    uint32_t slot = cluster_find(rm.cluster, &address);
    cr_assert_eq(membership_enter(rm.cluster, slot, NODE_FAULTY), 0);
    membership_forget(rm.cluster, slot);
}

Test(commands, word_about_a_node_that_is_forgotten_meanwhile_is_refused)
{
    stage_wait_until(stage_is_up);
    for (uint32_t i = 0; i < 2; i++) {
        (void)fixture_beat(stage.fixture, 1, 0.5f);
        told[0] = '\0';
        say(i == 0 ? "drain 10.0.0.1:7500" : "weight 10.0.0.1:7500 7");
        cr_assert_not(is_told());
        forget(1);
        stage_wait_until(is_told);
        cr_expect(strstr(told, "\"ok\":false") && strstr(told, "no node 10.0.0.1:7500 has heartbeaten here"), "%s", told);
        cr_expect(strstr(told, "\"exit\":1"), "%s", told);
        cr_expect_eq(stage_ask("HEXISTS usher:1:admin 10.0.0.1:7500"), 0);
    }
}

Test(commands, word_is_answered_when_it_stands_in_redis)
{
    stage_wait_until(stage_is_up);
    (void)fixture_beat(stage.fixture, 1, 0.5f);
    say("drain 10.0.0.1:7500");
    stage_wait_until(is_told);
    cr_expect(strstr(told, "\"ok\":true") && strstr(told, "\"stored\":true") && strstr(told, "\"state\":\"drained\""), "%s",
              told);
    cr_expect_eq(stage_ask("HEXISTS usher:1:admin 10.0.0.1:7500"), 1);
}
