/* What the dispatcher tells operators: status, nodes, metrics, health. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/histogram.h"
#include "core/node/node_json.h"
#include "core/policy/policy.h"
#include "core/report/node_report.h"
#include "core/wire/service.h"
#include "dispatcher/dispatcher.h"

/* rm has been silent for long enough that the directory must be called old: heartbeats are valid for 3 s by default. */
#define DIRECTORY_OLD_NS (3 * NS_PER_S)

static uint64_t directory_age_ns(const struct dispatcher *dispatcher)
{
    return loop_now_ns(daemon_loop(dispatcher->daemon)) - dispatcher->directory->updated_ns;
}

static bool directory_is_old(const struct dispatcher *dispatcher)
{
    return directory_is_restored(dispatcher->directory) ||
           directory_age_ns(dispatcher) > DIRECTORY_OLD_NS + dispatcher->options->own.refresh_ns;
}

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static const char *directory_state(const struct dispatcher *dispatcher)
{
    if (!directory_is_filled(dispatcher->directory))
        return "empty: no rm has answered yet";
    if (directory_is_restored(dispatcher->directory))
        return "old: from before the restart, no rm has answered yet";
    return directory_is_old(dispatcher) ? "old: rm does not answer, serving the last one" : "current";
}

static void status_directory(const struct dispatcher *dispatcher, json_t *answer)
{
    const struct directory *directory = dispatcher->directory;
    char rm[ADDRESS_TEXT_BYTES];
    json_t *status = json_object();
    json_object_set_new(status, "state", json_string(directory_state(dispatcher)));
    json_object_set_new(status, "rm", json_string(address_format(subscription_rm(&dispatcher->subscription), rm)));
    json_object_set_new(status, "following", json_boolean(dispatcher->subscription.following));
    json_object_set_new(status, "nodes", json_integer(directory->members.present_count));
    json_object_set_new(status, "services", json_integer(directory->members.offers.service_count));
    json_object_set_new(status, "epoch", json_integer((json_int_t)directory->version.epoch));
    json_object_set_new(status, "sequence", json_integer((json_int_t)directory->version.sequence));
    if (directory->updated_ns)
        json_object_set_new(status, "age_s", json_real(seconds(directory_age_ns(dispatcher))));
    json_object_set_new(status, "dispatchers_known", json_integer(directory->view->location->dispatcher_count));
    json_object_set_new(status, "client_ranges", json_integer(directory->table ? directory->table->range_count : 0));
    json_object_set_new(answer, "directory", status);
}

static void status_placement(const struct dispatcher *dispatcher, json_t *answer)
{
    struct placement_stats stats;
    if (!dispatcher->placement->on)
        return;
    placement_read_stats(dispatcher->placement, loop_now_ns(daemon_loop(dispatcher->daemon)), &stats);
    json_t *status = json_object();
    json_object_set_new(status, "information_age_s", json_real((double)stats.age_s));
    json_object_set_new(status, "in_turn", json_boolean(stats.in_turn));
    json_object_set_new(status, "idle_tokens", json_integer(stats.idle_tokens));
    json_object_set_new(status, "dispatchers", json_integer(stats.dispatchers));
    json_object_set_new(status, "share_max", json_real(dispatcher->options->own.share_max));
    json_object_set_new(status, "holds", json_integer((json_int_t)counter_read(&dispatcher->counters, COUNTER_NODES_HELD)));
    json_object_set_new(answer, "placement", status);
}

void dispatcher_status(void *state, json_t *answer)
{
    const struct dispatcher *dispatcher = state;
    uint32_t queued = 0;
    uint32_t connections = 0;
    for (uint32_t i = 0; i < dispatcher->core_count; i++) {
        queued += core_queue_length(dispatcher->cores[i]);
        connections += core_connections(dispatcher->cores[i]);
    }
    json_object_set_new(answer, "region", json_integer(dispatcher->shared.region));
    json_object_set_new(answer, "policy", json_string(policy_rows[atomic_load(&dispatcher->shared.policy)].name));
    json_object_set_new(answer, "threads", json_integer(dispatcher->core_count));
    json_object_set_new(answer, "requests_queued", json_integer(queued));
    json_object_set_new(answer, "connections", json_integer(connections));
    status_directory(dispatcher, answer);
    status_placement(dispatcher, answer);
    node_to_json(dispatcher->node, clock_monotonic_ns(), answer);
}

/* Half a millisecond of the control thread with 100,000 nodes, when somebody asks. */
static void measure_ages(const struct members *members, uint64_t now_ns, struct measures *measures)
{
    static const struct {
        double share;
        const char *label;
    } rows[] = {{0.5, "0.5"}, {0.99, "0.99"}, {1, "1"}};
    struct histogram ages_us = {.total = 0};
    for (uint32_t slot = 0; slot < members->slot_count; slot++) {
        const struct member *member = members_at(members, slot);
        if (member)
            histogram_add(&ages_us, now_ns > member->reported_ns ? (now_ns - member->reported_ns) / NS_PER_US : 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(rows) && ages_us.total > 0; i++) {
        const char *labels[] = {rows[i].label};
        gauge_set_labelled(&measures->gauges, GAUGE_DIRECTORY_NODE_AGE, (double)histogram_quantile(&ages_us, rows[i].share) / 1e6,
                           labels);
    }
}

static void measure_placement(const struct dispatcher *dispatcher, struct measures *measures)
{
    struct placement_stats stats;
    placement_read_stats(dispatcher->placement, loop_now_ns(daemon_loop(dispatcher->daemon)), &stats);
    gauge_set(&measures->gauges, GAUGE_PLACEMENT_AGE, (double)stats.age_s);
    gauge_set(&measures->gauges, GAUGE_PLACEMENT_IN_TURN, stats.in_turn);
    gauge_set(&measures->gauges, GAUGE_IDLE_TOKENS, stats.idle_tokens);
}

void dispatcher_measure(void *state, struct measures *measures)
{
    const struct dispatcher *dispatcher = state;
    uint32_t queued = 0;
    uint32_t connections = 0;
    measures_add_counters(measures, &dispatcher->counters);
    node_report_measure(dispatcher->node, measures);
    measures_add_loop(measures, dispatcher->node_loop);
    for (uint32_t i = 0; i < dispatcher->core_count; i++) {
        measures_add_counters(measures, core_counters(dispatcher->cores[i]));
        measures_add_loop(measures, core_loop(dispatcher->cores[i]));
        queued += core_queue_length(dispatcher->cores[i]);
        connections += core_connections(dispatcher->cores[i]);
    }
    gauge_set(&measures->gauges, GAUGE_REQUESTS_QUEUED, queued);
    gauge_set(&measures->gauges, GAUGE_CONNECTIONS, connections);
    gauge_set(&measures->gauges, GAUGE_DIRECTORY_NODES, dispatcher->directory->members.present_count);
    gauge_set(&measures->gauges, GAUGE_DIRECTORY_OLD, directory_is_old(dispatcher));
    if (dispatcher->directory->updated_ns)
        gauge_set(&measures->gauges, GAUGE_DIRECTORY_AGE, seconds(directory_age_ns(dispatcher)));
    measure_placement(dispatcher, measures);
    measure_ages(&dispatcher->directory->members, loop_now_ns(daemon_loop(dispatcher->daemon)), measures);
}

bool dispatcher_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES])
{
    const struct dispatcher *dispatcher = state;
    char rm[ADDRESS_TEXT_BYTES];
    struct node_stats node;
    node_read_stats(dispatcher->node, &node);
    if (!directory_is_filled(dispatcher->directory)) {
        snprintf(ret_reason, DAEMON_REASON_BYTES, "no directory yet: no rm has answered");
        return false;
    }
    /* The last directory still serves the clients: no reason to take the dispatcher out. */
    if (!dispatcher->subscription.following || directory_is_old(dispatcher))
        snprintf(ret_reason, DAEMON_REASON_BYTES, "rm %s does not answer: serving the last directory",
                 address_format(subscription_rm(&dispatcher->subscription), rm));
    else if (node.unable < 0)
        snprintf(ret_reason, DAEMON_REASON_BYTES, "programs can't be started: %s", error_text(node.unable));
    return true;
}

static json_t *member_json(const struct dispatcher *dispatcher, uint32_t slot)
{
    const struct member *member = members_at(&dispatcher->directory->members, slot);
    const struct node_values *values = &dispatcher->directory->members.values[slot];
    uint64_t now_ns = loop_now_ns(daemon_loop(dispatcher->daemon));
    char text[ADDRESS_TEXT_BYTES];
    json_t *row = json_object();
    json_object_set_new(row, "address", json_string(address_format(&member->address, text)));
    json_object_set_new(row, "kind", json_string(member->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker"));
    json_object_set_new(row, "state", json_string(wire_node_state_name(member->flags)));
    json_object_set_new(row, "load_index", json_real((double)atomic_load_explicit(&values->load_index, memory_order_relaxed)));
    json_object_set_new(row, "expected_load", json_real((double)node_values_expected_load(values)));
    json_object_set_new(row, "slots", json_integer(member->slots));
    json_object_set_new(row, "jobs_queued", json_integer(member->jobs_queued));
    json_object_set_new(row, "jobs_running", json_integer(member->jobs_running));
    json_object_set_new(row, "picks", json_integer(atomic_load_explicit(&values->picks, memory_order_relaxed)));
    json_object_set_new(row, "age_s", json_real(seconds(now_ns - member->reported_ns)));
    json_object_set_new(row, "services", json_integer(member->services->count));
    return row;
}

int dispatcher_admin_nodes(void *state, struct admin_call *call)
{
    const struct dispatcher *dispatcher = state;
    const struct members *members = &dispatcher->directory->members;
    const char *service = call->word_count ? call->words[0] : NULL;
    json_t *rows = json_array();
    if (service && !service_name_valid(service, strlen(service))) {
        json_decref(rows);
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%s\" cannot be a service: names are 1 to 63 of [A-Za-z0-9._-]",
                          service);
    }
    if (service && !snapshot_service_find(dispatcher->directory->view->snapshot, service_id(service, strlen(service)))) {
        json_decref(rows);
        return admin_fail(call, USHER_ENOSERVICE, EXIT_CODE_NO_NODE,
                          "no node in this directory has ever offered %s; is its name right?", service);
    }
    for (uint32_t slot = 0; slot < members->slot_count; slot++) {
        const struct member *member = members_at(members, slot);
        if (member && (!service || offer_set_has(member->services, service_id(service, strlen(service)))))
            json_array_append_new(rows, member_json(dispatcher, slot));
    }
    json_object_set_new(call->answer, "nodes", rows);
    return 0;
}
