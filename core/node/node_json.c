#include "core/node/node_json.h"

#include "core/base/clock.h"
#include "core/base/errors.h"

static json_t *load_to_json(const struct load_report *load)
{
    json_t *object = json_pack("{s:f, s:f}", "index", (double)load->index, "per_job", (double)load->per_job);
    for (uint32_t i = 0; i < LOAD_PARTS && object != NULL; i++)
        if (json_object_set_new(object, load_part_names[i], json_real((double)load->mean[i])) < 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

static json_t *services_to_json(const struct node_stats *stats)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < stats->service_count && array != NULL; i++) {
        const struct node_service_stats *service = &stats->services[i];
        json_t *object = json_pack("{s:s, s:I, s:f}", "name", service->name, "jobs", (json_int_t)service->jobs, "mean_s",
                                   (double)service->mean_s);
        if (json_array_append_new(array, object) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *rms_to_json(const struct node_stats *stats, uint64_t now_ns)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < stats->rm_count && array != NULL; i++) {
        const struct node_rm_stats *rm = &stats->rms[i];
        char text[ADDRESS_TEXT_BYTES];
        json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:i}", "address", address_format(&rm->address, text), "over",
                                   rm->http ? "http" : "datagrams", "state", heartbeat_state_name(rm->state), "region",
                                   (int)rm->region, "dispatchers", (int)rm->dispatchers);
        if (object != NULL && rm->acknowledged_ns != 0 && now_ns >= rm->acknowledged_ns &&
            json_object_set_new(object, "acknowledged_ms_ago",
                                json_integer((json_int_t)((now_ns - rm->acknowledged_ns) / NS_PER_MS))) < 0) {
            json_decref(object);
            object = NULL;
        }
        if (json_array_append_new(array, object) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *freshness_to_json(const struct node *node, const struct node_stats *stats)
{
    const struct counters *counters = node_counters(node);
    return json_pack("{s:f, s:I, s:I, s:I}", "budget_per_s", (double)stats->freshness_per_s, "tokens_sent",
                     (json_int_t)counter_read(counters, COUNTER_IDLE_TOKENS_SENT), "heartbeats_extra",
                     (json_int_t)counter_read(counters, COUNTER_HEARTBEATS_EXTRA_CHANGE) +
                         (json_int_t)counter_read(counters, COUNTER_HEARTBEATS_EXTRA_QUEUE),
                     "held", (json_int_t)counter_read(counters, COUNTER_FRESHNESS_HELD));
}

static json_t *attached_services_to_json(const struct attach_stats *stats)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < stats->service_count && array != NULL; i++) {
        const struct attach_service_stats *service = &stats->services[i];
        char problem[ATTACH_PROBLEM_BYTES];
        json_t *object =
            json_pack("{s:s, s:s, s:s, s:f, s:s}", "name", service->name, "check",
                      service->path[0] != '\0' ? service->path : "connect", "state", attach_state_name(service->state),
                      "check_ms", (double)service->check_ns / 1e6, "problem", attach_problem_text(&service->problem, problem));
        if (json_array_append_new(array, object) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *attached_to_json(const struct attachments *attachments)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < attachments_count(attachments) && array != NULL; i++) {
        struct attach_stats stats;
        char text[ADDRESS_TEXT_BYTES];
        char problem[ATTACH_PROBLEM_BYTES];
        attachments_read(attachments, i, &stats);
        json_t *object = json_pack(
            "{s:s, s:f, s:f, s:i, s:b, s:s, s:b, s:i, s:o}", "address", address_format(&stats.address, text), "load_index",
            (double)stats.load_index, "in_use", (double)stats.in_use, "slots", (int)stats.slots, "load_known", stats.load_known,
            "load_problem", attach_problem_text(&stats.load_problem, problem), "admin_drain", stats.admin_drain, "rms_reached",
            (int)stats.rm_count, "services", attached_services_to_json(&stats));
        if (json_array_append_new(array, object) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

void node_to_json(const struct node *node, uint64_t now_ns, json_t *object)
{
    struct node_stats stats;
    node_read_stats(node, &stats);
    json_t *members = json_pack(
        "{s:i, s:b, s:i, s:I, s:I, s:I, s:I, s:i, s:f, s:b, s:b, s:o, s:o, s:o, s:o}", "region", (int)stats.region, "takes_jobs",
        stats.takes_jobs, "slots", (int)stats.slots, "queue_max", (json_int_t)stats.queue_max, "jobs_queued",
        (json_int_t)stats.jobs_queued, "jobs_running", (json_int_t)stats.jobs_running, "connections",
        (json_int_t)stats.connections, "dispatchers_counted", (int)stats.dispatchers, "sleep_factor", stats.sleep_factor,
        "leaving", stats.leaving, "admin_drain", stats.admin_drain, "load", load_to_json(&stats.load), "freshness",
        freshness_to_json(node, &stats), "services", services_to_json(&stats), "rms", rms_to_json(&stats, now_ns));
    if (stats.unable < 0)
        json_object_set_new(members, "unable", json_string(error_text(stats.unable)));
    if (attachments_count(node_attachments(node)) > 0)
        json_object_set_new(members, "attached", attached_to_json(node_attachments(node)));
    json_object_set_new(object, "node", members); /* takes NULL as it is: adds nothing */
}
