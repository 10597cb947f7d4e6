/* What rm tells operators: status, metrics, health. */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/id_text.h"
#include "rm/rm.h"

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static uint32_t drained_count(const struct cluster *cluster)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < cluster->slot_count; slot++)
        count += cluster->nodes[slot].address.family != ADDRESS_NONE && node_is_drained(&cluster->nodes[slot]);
    return count;
}

static double oldest_heartbeat_s(const struct rm *rm)
{
    uint32_t head = rm->cluster->states[NODE_FRESH].head;
    return head == NODE_NONE ? 0 : seconds(node_age_ns(&rm->cluster->nodes[head], rm_now(rm).ns));
}

static void status_nodes(const struct rm *rm, json_t *answer)
{
    const struct cluster *cluster = rm->cluster;
    json_t *status = json_object();
    for (uint32_t state = 0; state < NODE_STATES; state++)
        json_object_set_new(status, node_state_name((enum node_state)state), json_integer(cluster->states[state].count));
    json_object_set_new(status, "drained", json_integer(drained_count(cluster)));
    json_object_set_new(status, "dispatchers", json_integer(cluster->dispatcher_count));
    json_object_set_new(status, "services", json_integer(cluster->services.count));
    json_object_set_new(status, "restored", json_integer(cluster->restored_count));
    json_object_set_new(answer, "nodes", status);
}

static const char *protection_state(const struct cluster *cluster, uint64_t now_ns)
{
    if (cluster->protection.active)
        return "active: so many nodes expired together that they stay listed, after all others";
    if (now_ns < cluster->grace_until_ns)
        return "grace: after a restart nobody is taken off the list yet";
    return cluster->config.no_protection ? "turned off" : "idle";
}

static void status_redis(const struct rm *rm, json_t *answer)
{
    char text[REDIS_TARGET_TEXT_BYTES];
    uint64_t lag_ns = mirror_lag_ns(rm->mirror);
    json_t *status = json_object();
    json_object_set_new(status, "where", json_string(redis_target_format(rm_redis_in_use(rm), text)));
    json_object_set_new(status, "server", json_string(redis_target_format(mirror_server(rm->mirror), text)));
    json_object_set_new(status, "embedded", json_boolean(rm->redis_server != NULL));
    json_object_set_new(status, "up", json_boolean(mirror_is_up(rm->mirror)));
    json_object_set_new(status, "reason", json_string(mirror_reason(rm->mirror)));
    json_object_set_new(status, "waiting", json_integer(rm->cluster->dirty.count));
    if (lag_ns != UINT64_MAX)
        json_object_set_new(status, "lag_s", json_real(seconds(lag_ns)));
    if (rm->redis_server)
        json_object_set_new(status, "pid", json_integer(redis_server_pid(rm->redis_server)));
    json_object_set_new(answer, "redis", status);
}

void rm_status(void *state, json_t *answer)
{
    const struct rm *rm = state;
    json_object_set_new(answer, "region", json_integer((json_int_t)rm->options->own.region));
    json_object_set_new(answer, "rm_id", json_string(id_text_of(rm->identity.rm_id).text));
    json_object_set_new(answer, "epoch", json_integer((json_int_t)rm->identity.epoch));
    json_object_set_new(answer, "sequence", json_integer((json_int_t)rm->cluster->sequence));
    json_object_set_new(answer, "heartbeat_valid_s", json_real(seconds(rm->cluster->config.valid_ns)));
    json_object_set_new(answer, "detection_worst_s", json_real(seconds(cluster_detection_ns(&rm->cluster->config))));
    json_object_set_new(answer, "protection", json_string(protection_state(rm->cluster, rm_now(rm).ns)));
    json_object_set_new(answer, "subscribers", json_integer(subscribers_count(rm->subscribers)));
    json_object_set_new(answer, "regions_version", json_integer(rm->regions ? rm->regions->version : 0));
    status_nodes(rm, answer);
    status_redis(rm, answer);
}

static void measure_node(const struct node *node, struct gauges *gauges)
{
    char address[ADDRESS_TEXT_BYTES];
    address_format(&node->address, address);
    for (uint32_t i = 0; node->metrics && i < node->metrics->count; i++) {
        const struct node_metric *metric = &node->metrics->item[i];
        const char *labels[] = {address, metric->name};
        gauge_set_labelled(gauges, GAUGE_NODE_METRIC, metric->value, labels);
        gauge_set_labelled(gauges, GAUGE_NODE_METRIC_RATE, metric->rate, labels);
    }
}

static void measure_nodes(const struct cluster *cluster, struct gauges *gauges)
{
    bool shown = cluster_keeps_metrics(cluster);
    gauge_set(gauges, GAUGE_NODE_METRICS_SHOWN, shown);
    for (uint32_t slot = 0; shown && slot < cluster->slot_count; slot++) {
        const struct node *node = &cluster->nodes[slot];
        if (node->address.family != ADDRESS_NONE && node_is_listed(node))
            measure_node(node, gauges);
    }
}

void rm_measure(void *state, struct measures *measures)
{
    const struct rm *rm = state;
    uint64_t lag_ns = mirror_lag_ns(rm->mirror);
    measures_add_counters(measures, &rm->counters);
    for (uint32_t i = 0; i < NODE_STATES; i++) {
        const char *labels[] = {node_state_name((enum node_state)i)};
        gauge_set_labelled(&measures->gauges, GAUGE_NODES, rm->cluster->states[i].count, labels);
    }
    measure_nodes(rm->cluster, &measures->gauges);
    gauge_set(&measures->gauges, GAUGE_NODES_DRAINED, drained_count(rm->cluster));
    gauge_set(&measures->gauges, GAUGE_SUBSCRIBERS, subscribers_count(rm->subscribers));
    gauge_set(&measures->gauges, GAUGE_PROTECTION_ACTIVE, rm->cluster->protection.active);
    gauge_set(&measures->gauges, GAUGE_HEARTBEAT_AGE, oldest_heartbeat_s(rm));
    gauge_set(&measures->gauges, GAUGE_REDIS_UP, mirror_is_up(rm->mirror));
    gauge_set(&measures->gauges, GAUGE_REDIS_REFUSES, mirror_refusal(rm->mirror)[0] != '\0');
    char server[REDIS_TARGET_TEXT_BYTES];
    const char *labels[] = {redis_target_format(mirror_server(rm->mirror), server)};
    gauge_set_labelled(&measures->gauges, GAUGE_REDIS_SERVER, mirror_is_up(rm->mirror), labels);
    gauge_set(&measures->gauges, GAUGE_MIRROR_WAITING, rm->cluster->dirty.count);
    gauge_set(&measures->gauges, GAUGE_MIRROR_LAG, lag_ns == UINT64_MAX ? 0 : seconds(lag_ns));
}

bool rm_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES])
{
    const struct rm *rm = state;
    if (timer_is_running(&rm->release_timer)) {
        snprintf(ret_reason, DAEMON_REASON_BYTES, "starting: reading what Redis holds");
        return false;
    }
    /* A lost Redis is no reason to take rm out, and silent nodes are no fault of rm's. */
    if (rm->cluster->states[NODE_FRESH].count == 0 && rm->cluster->states[NODE_LAST].count > 0)
        snprintf(ret_reason, DAEMON_REASON_BYTES,
                 "no node heartbeats: the last ones (%" PRIu32 ") stay listed, since a list never becomes empty",
                 rm->cluster->states[NODE_LAST].count);
    else if (!mirror_is_up(rm->mirror))
        snprintf(ret_reason, DAEMON_REASON_BYTES, "Redis does not answer: nothing depends on it but a restart of this rm");
    else if (mirror_refusal(rm->mirror)[0] != '\0')
        snprintf(ret_reason, DAEMON_REASON_BYTES,
                 "Redis refuses what is written (nothing depends on it but a restart of this rm): %s",
                 mirror_refusal(rm->mirror));
    return true;
}
