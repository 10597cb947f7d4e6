/* A node that speaks for servers which know nothing of Usher; the servers are the test's own, on the same loop. */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/wire/service.h"
#include "tests/unit/core/node/node_fixture.h"

/* What the server does with a connection. */
static struct {
    struct listener *listener;
    struct address address;
    const char *say; /* to each request; NULL: nothing */
    uint32_t accepted;
} server;

static struct attach_event last_event;
static char event_text[ATTACH_PROBLEM_BYTES];
static uint32_t event_count[ATTACH_EVENT_REFUSED + 1];

static size_t server_on_bytes(void *ctx, struct stream *stream, const uint8_t *bytes, size_t length)
{
    (void)ctx;
    if (length < 4 || memcmp(bytes + length - 4, "\r\n\r\n", 4) != 0)
        return 0;
    if (server.say != NULL) {
        cr_assert_eq(stream_send(stream, server.say, strlen(server.say)), 0);
        stream_close(stream);
    }
    return length;
}

static void server_on_closed(void *ctx, struct stream *stream, int error)
{
    (void)ctx;
    (void)stream;
    (void)error;
}

static const struct stream_handlers server_handlers = {.on_bytes = server_on_bytes, .on_closed = server_on_closed};

static void server_on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)ctx;
    (void)listener;
    server.accepted++;
    stream_set_handlers(stream, &server_handlers, NULL);
}

static void server_start(struct fixture *fixture, const char *address)
{
    struct listener_config config;
    listener_config_init(&config);
    cr_assert_eq(address_parse(address, &config.address), 0);
    config.retry_bind = true;
    config.on_accept = server_on_accept;
    cr_assert_eq(listener_open(fixture->loop, &config, &server.listener), 0);
    server.address = *listener_local_address(server.listener);
}

static void on_attached(void *ctx, const struct attach_event *event)
{
    (void)ctx;
    last_event = *event;
    snprintf(event_text, sizeof(event_text), "%s", event->text != NULL ? event->text : "");
    event_count[event->kind]++;
}

static void attach(struct fixture *fixture, const char *name, const char *path)
{
    struct attach_config *attach = &fixture->config.attach;
    struct attach_target *target = &attach->targets[attach->count++];
    snprintf(target->name, sizeof(target->name), "%s", name);
    snprintf(target->path, sizeof(target->path), "%s", path);
    target->address = server.address;
}

/* A server, and a node that is to speak for it. */
static void begin(struct fixture *fixture, const char *say)
{
    memset(&server, 0, sizeof(server));
    memset(event_count, 0, sizeof(event_count));
    server.say = say;
    server_start(fixture, "127.0.0.1:0");
    fixture->config.events.on_attached = on_attached;
    fixture->config.attach.interval_ns = 5 * NS_PER_MS;
    fixture->config.attach.timeout_ns = 500 * NS_PER_MS;
    fixture->config.attach.rise = 2;
    fixture->config.attach.fall = 2;
    fixture->config.attach.slots = 10;
}

static struct attach_stats stats_of(const struct fixture *fixture)
{
    struct attach_stats stats;
    cr_assert_eq(attachments_count(node_attachments(fixture->node)), 1);
    attachments_read(node_attachments(fixture->node), 0, &stats);
    return stats;
}

static bool is_offered(const struct fixture *fixture)
{
    return fixture->attached_heartbeats > 0 && fixture->attached_heartbeat.node_flags == WIRE_NODE_NO_ECHO;
}

static bool is_taken_out(const struct fixture *fixture)
{
    return fixture->attached_heartbeats > 0 && fixture->attached_heartbeat.node_flags == (WIRE_NODE_NO_ECHO | WIRE_NODE_DRAINING);
}

static bool load_is_unknown(const struct fixture *fixture)
{
    (void)fixture;
    return event_count[ATTACH_EVENT_LOAD_UNKNOWN] > 0;
}

static bool two_offered(const struct fixture *fixture)
{
    return is_offered(fixture) && fixture->attached_heartbeat.service_count == 2;
}

static void dead_from_the_start(struct fixture *fixture)
{
    begin(fixture, NULL);
    listener_close(server.listener);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(loop_run_once(fixture->loop, 0), 0);
    attach(fixture, "web", "");
    fixture_start(fixture);
    fixture_until(fixture, is_taken_out, "DRAINING");
    cr_expect_eq(event_count[ATTACH_EVENT_UP], 0);
    cr_expect_eq(event_count[ATTACH_EVENT_DOWN], 1);
    cr_expect_str_eq(event_text, "cannot connect: Connection refused");
    cr_expect_eq(fixture->attached_heartbeat.service_count, 1, "known for what it is");
    cr_expect_eq(stats_of(fixture).services[0].state, ATTACH_DOWN);
}

Test(attach, server_that_is_dead_is_never_offered)
{
    on_each_loop(dead_from_the_start);
}

static const char *wrong_answer;

static void answers_wrongly(struct fixture *fixture)
{
    begin(fixture, wrong_answer);
    attach(fixture, "web", "/health");
    fixture->config.attach.timeout_ns = 20 * NS_PER_MS;
    fixture_start(fixture);
    fixture_until(fixture, is_taken_out, "DRAINING");
}

Test(attach, http_checks_say_what_is_wrong)
{
    static const struct {
        const char *answer;
        const char *problem;
    } rows[] = {
        {"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "it answered 503"},
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "it answered 404"},
        {"SSH-2.0-OpenSSH\r\n", "what it answers is not HTTP"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "it closed the connection before its answer was complete"},
        {NULL, "no answer within --attach-check-timeout"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        wrong_answer = rows[i].answer;
        on_each_loop(answers_wrongly);
        cr_expect_str_eq(event_text, rows[i].problem);
    }
}

static void is_a_node(struct fixture *fixture)
{
    begin(fixture, NULL);
    attach(fixture, "web", "");
    fixture->config.load_weights[LOAD_CPU] = 0;
    fixture->config.load_weights[LOAD_MEMORY] = 0;
    fixture->config.load_weights[LOAD_DISK] = 0;
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    const struct wire_register *registration = &fixture->attached_register;
    const struct wire_heartbeat *heartbeat = &fixture->attached_heartbeat;
    cr_expect(address_equal(&heartbeat->node, &server.address));
    cr_expect_eq(heartbeat->kind, WIRE_NODE_WORKER);
    cr_expect_eq(heartbeat->slots, 10);
    cr_expect_eq(heartbeat->service_count, 1);
    cr_expect_eq(heartbeat->services[0].service_id, service_id("web", 3));
    cr_expect_eq(heartbeat->load_index, 0);
    cr_expect_gt(heartbeat->metadata_count, 4, "the machine's");
    cr_expect_str_eq(registration->services[0].text, "web");
    cr_expect_neq(heartbeat->trailer.boot_id, fixture->config.boot_id);
    cr_expect_eq(registration->trailer.boot_id, heartbeat->trailer.boot_id);
    cr_expect_eq(event_count[ATTACH_EVENT_BEGUN], 1);
    cr_expect_eq(event_count[ATTACH_EVENT_UP], 1);
}

Test(attach, live_server_is_a_node_of_its_own)
{
    on_each_loop(is_a_node);
}

static void stops_and_returns(struct fixture *fixture)
{
    char text[ADDRESS_TEXT_BYTES];
    begin(fixture, NULL);
    attach(fixture, "web", "");
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    listener_close(server.listener);
    fixture_until(fixture, is_taken_out, "DRAINING");
    cr_expect_eq(event_count[ATTACH_EVENT_DOWN], 1);
    server_start(fixture, address_format(&server.address, text));
    fixture_until(fixture, is_offered, "back");
    cr_expect_eq(event_count[ATTACH_EVENT_UP], 2);
}

Test(attach, server_that_stops_is_taken_out_and_comes_back)
{
    on_each_loop(stops_and_returns);
}

static void merges(struct fixture *fixture)
{
    begin(fixture, "HTTP/1.1 500 No\r\n\r\n");
    attach(fixture, "web", "");
    attach(fixture, "api", "/api");
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    cr_expect_eq(fixture->attached_register.service_count, 2);
    cr_expect_eq(fixture->attached_heartbeat.service_count, 1, "only what is up");
    cr_expect_eq(fixture->attached_heartbeat.services[0].service_id, service_id("web", 3));
    server.say = "HTTP/1.1 302 Found\r\n\r\n";
    fixture_until(fixture, two_offered, "both");
    cr_expect_eq(stats_of(fixture).service_count, 2);
}

Test(attach, services_of_one_address_are_one_node)
{
    on_each_loop(merges);
}

static void metric_is_missing(struct fixture *fixture)
{
    begin(fixture, "HTTP/1.1 200 OK\r\n\r\ny 1\n");
    attach(fixture, "web", "");
    fixture->config.attach.load = ATTACH_LOAD_METRIC;
    fixture->config.attach.metric = (struct attach_metric){.path = "/metrics", .name = "x"};
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    fixture_until(fixture, load_is_unknown, "a word about it");
    cr_expect_str_eq(event_text, "no line of the page begins with the metric's name");
    cr_expect_eq(fixture->attached_heartbeat.jobs_running, 10, "as if all slots were taken");
    cr_expect_not(stats_of(fixture).load_known);
    cr_expect(is_offered(fixture), "it is up all the same");
}

Test(attach, server_without_its_metric_counts_as_full)
{
    on_each_loop(metric_is_missing);
}

static bool is_up(const struct fixture *fixture)
{
    return stats_of(fixture).services[0].state == ATTACH_UP;
}

static void metric_is_late(struct fixture *fixture)
{
    begin(fixture, NULL);
    attach(fixture, "web", "");
    fixture->config.attach.load = ATTACH_LOAD_METRIC;
    fixture->config.attach.metric = (struct attach_metric){.path = "/metrics", .name = "x"};
    fixture->config.attach.timeout_ns = 60 * NS_PER_S;
    fixture_start(fixture);
    fixture_until(fixture, is_up, "a good check");
    for (int i = 0; i < 20; i++)
        cr_assert_eq(loop_run_once(fixture->loop, 0), 0);
    cr_expect_eq(fixture->attached_register.service_count, 0);
    cr_expect_eq(fixture->attached_heartbeats, 0);
}

Test(attach, server_is_not_announced_before_its_metric_was_asked_for)
{
    on_each_loop(metric_is_late);
}

static void metric_is_load(struct fixture *fixture)
{
    begin(fixture, "HTTP/1.1 200 OK\r\n\r\nx{a=\"1\"} 2\nx{a=\"2\"} 3\n");
    attach(fixture, "web", "");
    fixture->config.attach.load = ATTACH_LOAD_METRIC;
    fixture->config.attach.metric = (struct attach_metric){.path = "/metrics", .name = "x"};
    fixture->config.load_weights[LOAD_CPU] = 0;
    fixture->config.load_weights[LOAD_MEMORY] = 0;
    fixture->config.load_weights[LOAD_DISK] = 0;
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    cr_expect_eq(fixture->attached_heartbeat.jobs_running, 5, "in the first one already");
    cr_expect_float_eq((double)fixture->attached_heartbeat.load_index, 0.5 * 5 / 10, 1e-6);
    cr_expect_float_eq((double)fixture->attached_heartbeat.load_per_job, 0.05, 1e-6);
    cr_expect(stats_of(fixture).load_known);
    cr_expect_eq(event_count[ATTACH_EVENT_LOAD_UNKNOWN] + event_count[ATTACH_EVENT_LOAD_KNOWN], 0, "nothing new");
}

Test(attach, metric_is_the_servers_load)
{
    on_each_loop(metric_is_load);
}

static bool one_connection(const struct fixture *fixture)
{
    return stats_of(fixture).in_use >= 1;
}

static void connections_are_load(struct fixture *fixture)
{
    begin(fixture, NULL);
    attach(fixture, "web", "");
    fixture->config.attach.load = ATTACH_LOAD_CONNECTIONS;
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    struct address own = fixture->config.address;
    fixture->config.address = server.address;
    struct client *client = fixture_connect(fixture);
    fixture->config.address = own;
    fixture_until(fixture, one_connection, "the connection is counted");
    client_leave(client);
}

Test(attach, connections_are_the_servers_load)
{
    on_each_loop(connections_are_load);
}

static void leaves(struct fixture *fixture)
{
    begin(fixture, NULL);
    attach(fixture, "web", "");
    fixture_start(fixture);
    fixture_until(fixture, is_offered, "a heartbeat");
    node_announce_leaving(fixture->node);
    fixture_until(fixture, is_taken_out, "DRAINING");
}

Test(attach, servers_leave_with_the_node_that_speaks_for_them)
{
    on_each_loop(leaves);
}
