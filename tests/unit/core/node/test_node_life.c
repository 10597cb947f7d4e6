/* A node's life: it announces itself, tells its load, and leaves without losing a job (requirements N5, N6, N11; SIGTERM). */
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/core/node/node_fixture.h"

static bool has_beaten(const struct fixture *fixture)
{
    return fixture->heartbeats >= 2;
}

static bool was_told_of_rm(const struct fixture *fixture)
{
    return fixture->rm_events > 0;
}

static void impossible(struct fixture *fixture)
{
    struct node *node;
    struct address rm = {.family = ADDRESS_IPV4, .port = 1};
    struct node_config no_rm = fixture->config, no_boot_id = fixture->config, no_slots = fixture->config;
    no_rm.rm_count = 0;
    no_boot_id.rms = no_slots.rms = &rm;
    no_boot_id.boot_id = 0;
    no_slots.slots = 0;
    cr_expect_lt(node_new(&no_rm, &node), 0);
    cr_expect_lt(node_new(&no_boot_id, &node), 0);
    cr_expect_lt(node_new(&no_slots, &node), 0);
}

Test(node_life, impossible_configurations_are_refused)
{
    on_each_loop(impossible);
}

static void announces(struct fixture *fixture)
{
    fixture_start(fixture);
    fixture_until(fixture, has_beaten, "heartbeats");
    cr_expect_geq(fixture->registers, 1); /* sent again where the machine is slow to acknowledge */
    cr_expect(address_equal(&fixture->last_register.node, &fixture->config.address));
    cr_expect_eq(fixture->last_register.kind, WIRE_NODE_WORKER);
    cr_expect_eq(fixture->last_register.slots, 1);
    cr_assert_eq(fixture->last_register.service_count, 5);
    cr_expect_str_eq(fixture->last_register.services[0].text, "echo");
    cr_expect_eq(fixture->last_register.trailer.boot_id, 1234);
    cr_expect_eq(fixture->rm_state, HEARTBEAT_REACHED);
    cr_expect_eq(fixture->rm_events, 1);
    struct node_stats stats = fixture_stats(fixture);
    cr_expect_eq(stats.rms[0].state, HEARTBEAT_REACHED);
    cr_expect_eq(stats.rms[0].region, 1);
}

Test(node_life, node_registers_and_beats)
{
    on_each_loop(announces);
}

static bool load_has_arrived(const struct fixture *fixture)
{
    const struct wire_heartbeat *heartbeat = &fixture->last_heartbeat;
    for (uint32_t i = 0; i < heartbeat->metadata_count; i++)
        if (heartbeat->metadata[i].key == WIRE_METADATA_QUEUE_LENGTH)
            return heartbeat->metadata[i].value > 2.99f;
    return false;
}

static void tells_load(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    for (uint64_t i = 0; i < 3; i++) {
        client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = i, .dispatcher_boot_id = 42});
        fixture_until(fixture, one_job_runs, "the first one runs");
    }
    fixture_until(fixture, load_has_arrived, "three jobs in a heartbeat");
    const struct wire_heartbeat *beat = &fixture->last_heartbeat;
    cr_expect_eq(beat->jobs_queued, 2);
    cr_expect_eq(beat->jobs_running, 1);
    cr_expect_float_eq(beat->load_per_job, 0.5, 1e-6);
    cr_expect_geq(beat->load_index, 1.49f, "0.5 × 3 jobs on one slot, and what the machine does");
    cr_assert_eq(beat->echo_count, 1);
    cr_expect_eq(beat->echoes[0].dispatcher_boot_id, 42);
    cr_expect_eq(beat->echoes[0].jobs, 3);
    cr_assert_eq(beat->service_count, 5);
    cr_expect_float_eq(beat->services[1].work_s, 0.3, 1e-5, "three sleeps of the nominal 0.1 s");
    cr_expect_eq(beat->services[0].work_s, 0);
    cr_expect_eq(beat->services[1].rate, 0, "nobody knows yet");
}

Test(node_life, heartbeats_tell_the_load)
{
    on_each_loop(tells_load);
}

static bool has_registered_twice(const struct fixture *fixture)
{
    return fixture->registers >= 2;
}

static void registers_again(struct fixture *fixture)
{
    fixture_start(fixture);
    fixture_until(fixture, has_beaten, "heartbeats");
    fixture->rm_flags = WIRE_ACK_REGISTER_WANTED;
    fixture_until(fixture, has_registered_twice, "a second REGISTER");
    cr_expect_eq(fixture->rm_events, 1, "nothing new for the log");
}

Test(node_life, node_registers_again_when_rm_asks)
{
    on_each_loop(registers_again);
}

static void other_region(struct fixture *fixture)
{
    fixture->rm_region = 2;
    fixture_start(fixture);
    fixture_until(fixture, was_told_of_rm, "the refusal");
    cr_expect_eq(fixture->rm_state, HEARTBEAT_REFUSED);
    cr_expect_not_null(strstr(fixture->rm_text, "it serves region 2"), "%s", fixture->rm_text);
    cr_expect_eq(fixture->heartbeats, 0);
}

Test(node_life, rm_of_another_region_is_told_to_the_log)
{
    on_each_loop(other_region);
}

static void silent_rm(struct fixture *fixture)
{
    fixture->rm_silent = true;
    fixture_start(fixture);
    fixture_until(fixture, was_told_of_rm, "the loss, after a second");
    cr_expect_eq(fixture->rm_state, HEARTBEAT_LOST);
    fixture->rm_silent = false;
    fixture_until(fixture, has_beaten, "heartbeats");
    cr_expect_eq(fixture->rm_state, HEARTBEAT_REACHED);
}

Test(node_life, silent_rm_is_told_to_the_log_and_found_again)
{
    on_each_loop(silent_rm);
}

static bool beats_draining(const struct fixture *fixture)
{
    return (fixture->last_heartbeat.node_flags & WIRE_NODE_DRAINING) != 0;
}

static void announces_leaving(struct fixture *fixture)
{
    fixture->config.heartbeat_ns = 60 * NS_PER_S;
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    fixture_until(fixture, was_told_of_rm, "rm is reached");
    node_announce_leaving(fixture->node);
    fixture_until(fixture, beats_draining, "a heartbeat out of turn");
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 1});
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT, "still accepted");
    cr_expect_not(fixture->drained);
}

Test(node_life, leaving_is_announced_at_once)
{
    on_each_loop(announces_leaving);
}

static void expect_unstarted(struct client *client, uint64_t job_id)
{
    const struct reply *reply = client_await(client, job_id);
    cr_assert_eq(reply->type, FRAME_TYPE_ERROR);
    cr_expect_eq(reply->error.code, WIRE_ERROR_SHUTTING_DOWN);
    cr_expect_not(reply->error.started);
}

static void drains(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture), *idle = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "100ms", .job_id = 1});
    fixture_until(fixture, one_job_runs, "it runs");
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2});
    fixture_turn(fixture);
    node_refuse_new(fixture->node);
    expect_unstarted(client, 2);
    cr_expect_null(client_find(client, 1), "before the running one ends");
    client_submit(idle, &(struct job_request){.service = "echo", .job_id = 3});
    expect_unstarted(idle, 3);
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT, "the running one finishes");
    fixture_until(fixture, is_drained, "drained");
    cr_expect(client->closed);
    cr_expect(idle->closed);
}

Test(node_life, running_jobs_finish_and_others_are_answered_not_started)
{
    on_each_loop(drains);
}

static void drains_large(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client->counts_only = true;
    client_submit(client, &(struct job_request){.service = "blob", .data = "16MB", .job_id = 1});
    fixture_until(fixture, one_job_runs, "it runs");
    node_refuse_new(fixture->node);
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client->data_length, UINT64_C(16) << 20);
    fixture_until(fixture, is_drained, "drained");
}

Test(node_life, results_are_sent_whole_before_the_end)
{
    on_each_loop(drains_large);
}

static void abandons(struct fixture *fixture)
{
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 1});
    fixture_until(fixture, one_job_runs, "it runs");
    client_submit(client, &(struct job_request){.service = "sleep", .data = "10s", .job_id = 2});
    fixture_turn(fixture);
    node_announce_leaving(fixture->node);
    node_refuse_new(fixture->node);
    node_abandon(fixture->node);
    const struct reply *reply = client_await(client, 1);
    cr_assert_eq(reply->type, FRAME_TYPE_ERROR);
    cr_expect_eq(reply->error.code, WIRE_ERROR_CANCELLED);
    cr_expect(reply->error.started);
    expect_unstarted(client, 2);
    fixture_until(fixture, is_drained, "drained");
    cr_expect(client->closed);
}

Test(node_life, second_signal_stops_what_runs)
{
    on_each_loop(abandons);
}

static void idle_node(struct fixture *fixture)
{
    fixture_start(fixture);
    node_refuse_new(fixture->node);
    fixture_until(fixture, is_drained, "drained");
}

Test(node_life, idle_node_is_drained_at_once)
{
    on_each_loop(idle_node);
}

static void handed_over(struct fixture *fixture)
{
    fixture_start(fixture);
    fixture_hand_over(fixture);
    struct client *client = fixture_connect(fixture);
    client_submit(client, &(struct job_request){.service = "echo", .data = "carried over", .job_id = 1});
    cr_expect_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT);
    cr_expect_eq(client->data.length, 12);
    client_submit(client, &(struct job_request){.service = "echo", .job_id = 2});
    cr_expect_eq(client_await(client, 2)->type, FRAME_TYPE_RESULT);
}

Test(node_life, connection_handed_over_goes_on_with_its_first_job)
{
    on_each_loop(handed_over);
}
