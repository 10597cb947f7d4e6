/* A node that heartbeats over HTTP, to an rm of the test's own on the same loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/heartbeat_json.h"
#include "core/base/clock.h"
#include "core/http/server.h"
#include "tests/unit/core/node/node_fixture.h"

static struct {
    struct fixture *fixture;
    struct http_server *server;
    int status; /* of its answers */
    const char *say; /* instead of an acknowledgement */
    uint32_t lose; /* so many messages are answered with what `failure` says */
    bool wants_register;
    uint16_t region;
    uint32_t registers;
    uint32_t heartbeats;
    struct wire_register registration;
    struct wire_heartbeat heartbeat;
} rm;

static const struct {
    int status;
    const char *say;
    const char *text;
} failures[] = {
    {502, "<html>Bad Gateway", "it answered 502"},
    {404, "<html>Not Found", "it answered 404"},
    {503, "{\"error\":\"no room\"}", "it answered 503: no room"},
    {429, "{\"error\":\"too many\"}", "it answered 429: too many"},
    {200, "hello", "it answers what is no acknowledgement"},
    {200, "{\"ack\":{}}", "it answers what is no acknowledgement ("},
};
static size_t failure;

static int on_request(void *context, const struct http_request *request, struct http_answer *answer)
{
    (void)context;
    char path[128], node[ADDRESS_TEXT_BYTES], text[HEARTBEAT_JSON_TEXT_BYTES];
    json_error_t error;
    json_t *root = json_loadb((const char *)request->body, request->body_length, 0, &error);
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(root, "sequence"));
    bool registers = request->verb == HTTP_VERB_PUT;
    snprintf(path, sizeof(path), "/v1/nodes/%s%s", address_format(&rm.fixture->config.address, node),
             registers ? "" : "/heartbeat");
    cr_expect_str_eq(request->path, path);
    int r = registers ? register_from_json(root, &rm.fixture->config.address, &rm.registration, text)
                      : heartbeat_from_json(root, &rm.fixture->config.address, &rm.heartbeat, text);
    cr_expect_eq(r, 0, "%s", text);
    json_decref(root);
    *(registers ? &rm.registers : &rm.heartbeats) += 1;
    answer->status = rm.lose > 0 ? failures[failure].status : rm.status;
    if (rm.lose > 0) {
        rm.lose--;
        return buffer_append(&answer->body, failures[failure].say, strlen(failures[failure].say));
    }
    if (rm.say != NULL)
        return buffer_append(&answer->body, rm.say, strlen(rm.say));
    struct wire_heartbeat_ack ack = {
        .rm_id = 1,
        .region = rm.region,
        .flags = rm.wants_register ? WIRE_ACK_REGISTER_WANTED : 0,
        .acked_sequence = sequence,
        .trailer = {.boot_id = 2},
    };
    json_t *value = json_pack("{s:o}", "ack", heartbeat_ack_to_json(&ack));
    char *body = json_dumps(value, JSON_COMPACT);
    r = buffer_append(&answer->body, body, strlen(body));
    free(body);
    json_decref(value);
    return r;
}

/* The fixture's own rm stays, at the second place: heartbeats go both ways. */
static void begin(struct fixture *fixture, bool mixed)
{
    static struct address rms[2];
    struct http_config http = {
        .loop = fixture->loop,
        .body_bytes_max = 16384,
        .connections_max = 8,
        .on_request = on_request,
    };
    memset(&rm, 0, sizeof(rm));
    rm.fixture = fixture;
    rm.status = 200;
    rm.region = 1;
    cr_assert_eq(address_parse("127.0.0.1:0", &http.address), 0);
    cr_assert_eq(http_server_new(&http, &rm.server), 0);
    rms[0] = http_server_address(rm.server);
    fixture_start_with(fixture, rms, mixed ? 2 : 1, 1);
}

static void end(void)
{
    http_server_free(rm.server);
}

static bool has_beaten(const struct fixture *fixture)
{
    return rm.heartbeats >= 3 && fixture->rm_state == HEARTBEAT_REACHED;
}

static bool is_refused(const struct fixture *fixture)
{
    return fixture->rm_events > 0 && fixture->rm_state == HEARTBEAT_REFUSED;
}

static bool is_lost(const struct fixture *fixture)
{
    return fixture->rm_events > 0 && fixture->rm_state == HEARTBEAT_LOST;
}

static void refused(struct fixture *fixture)
{
    begin(fixture, false);
    rm.status = 409;
    rm.say = "{\"error\":\"another one speaks\"}";
    fixture_until(fixture, is_refused, "refused");
    cr_expect_str_eq(fixture->rm_text, "it answered 409: another one speaks");
    end();
}

Test(rm_http, rm_that_says_why_refuses)
{
    on_each_loop(refused);
}

static void loses_one(struct fixture *fixture)
{
    begin(fixture, false);
    fixture_until(fixture, has_beaten, "heartbeats");
    rm.lose = 1;
    rm.heartbeats = 0;
    fixture_until(fixture, has_beaten, "heartbeats");
    cr_expect_eq(rm.lose, 0);
    cr_expect_eq(fixture_count(fixture, COUNTER_HEARTBEATS_REFUSED), 0);
    end();
}

Test(rm_http, answer_that_says_nothing_of_the_heartbeat_is_a_lost_one)
{
    for (failure = 0; failure < ARRAY_COUNT(failures); failure++)
        on_each_loop(loses_one);
}

static void loses_all(struct fixture *fixture)
{
    begin(fixture, false);
    rm.lose = UINT32_MAX;
    fixture_until(fixture, is_lost, "lost");
    cr_expect_eq(strncmp(fixture->rm_text, failures[failure].text, strlen(failures[failure].text)), 0, "\"%s\" is not \"%s\"",
                 fixture->rm_text, failures[failure].text);
    end();
}

Test(rm_http, log_is_told_what_came_instead)
{
    for (failure = 0; failure < ARRAY_COUNT(failures); failure += 2)
        on_each_loop(loses_all);
}

static void other_region(struct fixture *fixture)
{
    begin(fixture, false);
    rm.region = 2;
    fixture_until(fixture, is_refused, "refused");
    cr_expect_not_null(strstr(fixture->rm_text, "it serves region 2"), "%s", fixture->rm_text);
    end();
}

Test(rm_http, rm_of_another_region_is_refused)
{
    on_each_loop(other_region);
}

static void silent(struct fixture *fixture)
{
    begin(fixture, false);
    http_server_free(rm.server);
    fixture_until(fixture, is_lost, "lost");
    cr_expect_str_empty(fixture->rm_text, "silence has no text");
}

Test(rm_http, rm_that_is_gone_is_lost)
{
    on_each_loop(silent);
}

static void registers_and_beats(struct fixture *fixture)
{
    begin(fixture, false);
    fixture_until(fixture, has_beaten, "heartbeats");
    cr_expect_eq(rm.registers, 1);
    cr_expect_eq(rm.registration.service_count, 5);
    cr_expect_eq(rm.registration.trailer.boot_id, 1234);
    cr_expect_eq(rm.heartbeat.trailer.boot_id, 1234);
    cr_expect_eq(rm.heartbeat.service_count, 5);
    cr_expect_eq(rm.heartbeat.kind, WIRE_NODE_WORKER);
    cr_expect_gt(rm.heartbeat.metadata_count, 4);
    cr_expect(fixture_stats(fixture).rms[0].http);
    cr_expect_eq(fixture->heartbeats, 0, "nobody else is told");
    end();
}

Test(rm_http, node_registers_and_beats_over_http)
{
    on_each_loop(registers_and_beats);
}

static bool has_registered_again(const struct fixture *fixture)
{
    (void)fixture;
    return rm.registers >= 2;
}

static void registers_again(struct fixture *fixture)
{
    begin(fixture, false);
    fixture_until(fixture, has_beaten, "heartbeats");
    rm.wants_register = true;
    fixture_until(fixture, has_registered_again, "another registration");
    end();
}

Test(rm_http, rm_that_wants_a_registration_gets_one)
{
    on_each_loop(registers_again);
}

static bool both_have_heard(const struct fixture *fixture)
{
    return rm.heartbeats >= 2 && fixture->heartbeats >= 2;
}

static void both_ways(struct fixture *fixture)
{
    begin(fixture, true);
    fixture_until(fixture, both_have_heard, "heartbeats both ways");
    end();
}

Test(rm_http, lists_of_both_kinds_are_served)
{
    on_each_loop(both_ways);
}

static bool says_draining(const struct fixture *fixture)
{
    (void)fixture;
    return (rm.heartbeat.node_flags & WIRE_NODE_DRAINING) != 0;
}

static void says_that_it_leaves(struct fixture *fixture)
{
    begin(fixture, false);
    fixture_until(fixture, has_beaten, "heartbeats");
    node_announce_leaving(fixture->node);
    fixture_until(fixture, says_draining, "DRAINING");
    end();
}

Test(rm_http, leaving_is_told)
{
    on_each_loop(says_that_it_leaves);
}
