/* rm over HTTP: what consumers are told before rm knows who is there, what becomes of clocks and metrics, and who is picked. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/daemon/internal.h"
#include "rm/rm.h"
#include "tests/unit/rm/fixture.h"

#define HOUR_MS INT64_C(3600000)

static struct fixture *fixture;
static struct daemon process;
static struct rm rm;
static struct http_answer answer;

static void on_release(void *ctx, struct timer *timer)
{
    (void)ctx;
    (void)timer;
}

/* The loop's clock stands still: it does not run. */
static void setup(void)
{
    struct loop_config config;
    loop_config_init(&config);
    config.kind = LOOP_EPOLL;
    log_configure("test", LOG_ERROR, false);
    cr_assert_eq(loop_new(&config, &process.loop), 0);
    fixture = fixture_new(true);
    fixture->now.ns = loop_now_ns(process.loop);
    fixture->now.wall_ms = loop_wall_ms(process.loop);
    fixture->cluster->started_ns = fixture->now.ns;
    fixture->cluster->config.node_metrics_max = 10;
    rm = (struct rm){.daemon = &process, .cluster = fixture->cluster};
    rm.events.counters = &rm.counters;
    timer_init(&rm.release_timer, on_release, NULL);
    random_init(&rm.picks, 7);
    rm.subscribers = fixture_subscribers(fixture, process.loop, &rm.counters, NS_PER_S);
}

static void answer_done(void)
{
    buffer_done(&answer.body);
    pieces_done(&answer.pieces);
    answer = (struct http_answer){.status = 200};
}

static void teardown(void)
{
    answer_done();
    timer_stop(&rm.release_timer);
    subscribers_free(rm.subscribers);
    fixture_free(fixture);
    loop_free(process.loop);
}

TestSuite(api, .init = setup, .fini = teardown);

/* A round of heartbeats has passed. */
static void time_pass(void)
{
    rm.cluster->started_ns = fixture->now.ns - rm.cluster->config.valid_ns;
}

static int ask(enum http_verb verb, const char *path, const char *query, const char *body)
{
    struct http_request request = {
        .verb = verb, .path = path, .query = query, .body = (const uint8_t *)body, .body_length = body ? strlen(body) : 0};
    answer_done();
    cr_assert_eq(rm_http(&rm, &request, &answer), 0);
    while (answer.pieces.next && answer.pieces.next(answer.pieces.ctx, &answer.body) == PIECES_MORE)
        ;
    cr_assert_eq(buffer_append(&answer.body, "", 1), 0);
    return answer.status;
}

static int get(const char *path, const char *query)
{
    return ask(HTTP_VERB_GET, path, query, NULL);
}

static const char *text(void)
{
    return (const char *)answer.body.bytes;
}

static int beat(const char *instance, int64_t timestamp_ms, const char *metrics)
{
    char body[4096];
    snprintf(body, sizeof(body), "{\"instance\":\"%s\",\"timestamp\":%lld,\"services\":[\"echo\"],\"metrics\":{%s}}", instance,
             (long long)timestamp_ms, metrics);
    return ask(HTTP_VERB_PUT, "/v1/nodes/10.0.0.1:80", "", body);
}

static int64_t now_ms(void)
{
    return (int64_t)fixture->now.wall_ms;
}

/* ---- lists after a start ---- */

static void expect_early(void)
{
    static const char *const paths[][2] = {
        {"/sd", ""},
        {"/sd", "service=echo"},
        {"/v1/nodes", ""},
        {"/v1/services", ""},
        {"/v1/pick", "service=echo"},
        {"/v1/pick", "service=other"},
        {"/v1/nodes/10.9.9.9:80", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        cr_expect_eq(get(paths[i][0], paths[i][1]), 503, "%s: %d %s", paths[i][0], answer.status, text());
        cr_expect(strstr(text(), "has just started"), "%s", text());
        cr_expect_geq(answer.retry_after_s, 1);
        cr_expect_leq(answer.retry_after_s, FIXTURE_VALID_NS / NS_PER_S);
    }
}

Test(api, lists_are_refused_while_nobody_has_been_heard)
{
    expect_early();
}

Test(api, lists_are_refused_while_nodes_may_be_missing)
{
    (void)fixture_beat(fixture, 1, 0.5f);
    expect_early();
    cr_assert_eq(get("/v1/nodes/10.0.0.1:7500", ""), 200, "one that is known is told");
}

Test(api, lists_are_refused_until_redis_was_read)
{
    time_pass();
    timer_start(process.loop, &rm.release_timer, fixture->now.ns + NS_PER_S);
    expect_early();
    timer_stop(&rm.release_timer);
    cr_assert_eq(get("/sd", ""), 200);
}

Test(api, lists_are_told_after_a_round_of_heartbeats_though_empty)
{
    time_pass();
    cr_assert_eq(get("/sd", ""), 200);
    cr_assert_str_eq(text(), "[]\n");
    cr_assert_eq(get("/v1/pick", "service=echo"), 404);
    cr_assert_eq(get("/v1/nodes/10.9.9.9:80", ""), 404);
}

Test(api, lists_are_told_at_once_from_a_redis_that_was_up_to_date)
{
    struct cluster_restored restored = {
        .address = fixture_address(1), .kind = WIRE_NODE_WORKER, .slots = 4, .boot = {.boot_id = 2, .sequence = 1}};
    cr_assert_eq(cluster_restore(rm.cluster, fixture->now, &restored), 0);
    cluster_restore_age(rm.cluster, fixture->now, &restored.address, NS_PER_S / 2);
    expect_early();
    cluster_restore_commit(rm.cluster, fixture->now);
    cr_assert_eq(get("/v1/nodes", ""), 200);
}

Test(api, lists_go_on_when_rm_stood_still)
{
    (void)fixture_beat(fixture, 1, 0.5f);
    time_pass();
    (void)cluster_sweep(rm.cluster, fixture->now);
    rm.cluster->swept_ns -= 2 * FIXTURE_VALID_NS;
    (void)cluster_sweep(rm.cluster, fixture->now);
    cr_assert_eq(fixture->events[CLUSTER_RESUMED], 1);
    cr_assert_not(cluster_is_complete(rm.cluster, fixture->now.ns));
    cr_assert_eq(get("/sd", ""), 200);
}

/* ---- clocks ---- */

Test(api, message_that_was_overtaken_is_refused)
{
    cr_assert_eq(beat("a", now_ms(), ""), 200);
    cr_assert_eq(beat("a", now_ms() - 1, ""), 409);
    cr_assert_eq(beat("a", now_ms() - 999, ""), 409);
}

Test(api, clock_set_back_keeps_no_node_out)
{
    cr_assert_eq(beat("a", now_ms() + HOUR_MS, ""), 200);
    cr_assert_eq(beat("a", now_ms(), ""), 200, "%s", text());
    cr_assert_eq(beat("a", now_ms() - 1, ""), 409, "the new time is the one that counts");
    cr_assert_eq(beat("a", now_ms() - 1000, ""), 200, "%s", text());
}

Test(api, clock_set_back_by_little_costs_a_part_of_the_valid_time_at_most)
{
    rm.cluster->config.valid_ns = 300 * NS_PER_MS;
    cr_assert_eq(beat("a", now_ms(), ""), 200);
    cr_assert_eq(beat("a", now_ms() - 99, ""), 409);
    cr_assert_eq(beat("a", now_ms() - 100, ""), 200);
}

/* ---- picks ---- */

static void all_fall_silent(void)
{
    fixture->now.ns += 2 * FIXTURE_VALID_NS;
    rm.cluster->swept_ns = fixture->now.ns - NS_PER_MS;
    (void)cluster_sweep(rm.cluster, fixture->now);
}

Test(api, pick_has_nobody_when_the_silent_ones_are_drained_too)
{
    struct address address = fixture_address(1);
    (void)fixture_beat(fixture, 1, 0.5f);
    time_pass();
    all_fall_silent();
    cr_assert_eq(cluster_admin_set(rm.cluster, fixture->now, &address, WIRE_ADMIN_DRAIN, 0, NULL), 0);
    cr_assert_eq(get("/v1/pick", "service=echo"), 503);
    cr_assert_eq(answer.retry_after_s, 0);
}

Test(api, pick_takes_silent_nodes_when_there_are_no_others)
{
    for (uint32_t i = 1; i <= 8; i++)
        (void)fixture_beat(fixture, i, 0.5f);
    time_pass();
    cr_assert_eq(get("/v1/pick", "service=echo"), 200);
    cr_assert(strstr(text(), "\"state\":\"ready\""), "%s", text());
    all_fall_silent();
    cr_assert_eq(rm.cluster->states[NODE_LAST].count, 8);
    cr_assert_eq(get("/v1/pick", "service=echo"), 200, "%s", text());
    cr_assert(strstr(text(), "\"state\":\"last\""), "%s", text());
    cr_assert_eq(get("/v1/pick", "service=other"), 404);
}

/* ---- health ---- */

Test(api, health_says_that_only_silent_nodes_are_left)
{
    char reason[DAEMON_REASON_BYTES] = "";
    (void)fixture_beat(fixture, 1, 0.5f);
    all_fall_silent();
    cr_assert_eq(rm.cluster->states[NODE_LAST].count, 1);
    cr_assert(rm_healthy(&rm, reason));
    cr_assert(strstr(reason, "no node heartbeats"), "%s", reason);
}

/* ---- metrics and weights ---- */

Test(api, message_of_more_metrics_than_there_is_room_for_is_refused_before_anything_counts)
{
    char metrics[1024] = "\"cpu_use\":0.7";
    for (uint32_t i = 0; i <= NODE_METRICS_OWN_MAX; i++)
        snprintf(metrics + strlen(metrics), sizeof(metrics) - strlen(metrics), ",\"m%u\":1", i);
    cr_assert_eq(beat("a", now_ms(), "\"m0\":1"), 200);
    cr_assert_eq(beat("a", now_ms(), metrics), 422);
    cr_assert(strstr(text(), "32 of its own"), "%s", text());
    cr_assert_eq(get("/v1/nodes/10.0.0.1:80", ""), 200);
    cr_assert_not(strstr(text(), "cpu_use"), "%s", text());
}

Test(api, heartbeats_count_however_often_a_node_names_its_metrics_anew)
{
    char metric[64];
    for (uint32_t i = 0; i < 3 * NODE_METRICS_OWN_MAX; i++) {
        snprintf(metric, sizeof(metric), "\"m%u\":1,\"cpu_use\":0.5,\"always\":%u", i, i);
        cr_assert_eq(beat("a", now_ms(), metric), 200, "%s: %s", metric, text());
    }
    cr_assert_eq(get("/v1/nodes/10.0.0.1:80", ""), 200);
    cr_assert(strstr(text(), "\"m95\":{") && strstr(text(), "\"m65\":{"), "%s", text());
    cr_assert_not(strstr(text(), "\"m64\":{"), "%s", text());
    cr_assert(strstr(text(), "\"always\":{") && strstr(text(), "\"cpu_use\":{"), "%s", text());
}

Test(api, operators_weight_out_of_range_is_refused)
{
    static const char *const wrong[] = {"1e-40", "1e-400", "0.0000009", "1000001", "-1", "nan"};
    (void)fixture_beat(fixture, 1, 0.5f);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        const char *words[] = {"10.0.0.1:7500", wrong[i]};
        struct admin_call call = {.words = words, .word_count = ARRAY_COUNT(words), .answer = json_object()};
        cr_expect_lt(rm_admin_weight(&rm, &call), 0, "%s", wrong[i]);
        cr_expect(strstr(call.text, "is not a weight: give 0, a number from 0.000001 to 1000000"), "%s", call.text);
        json_decref(call.answer);
    }
}
