#include "core/api/heartbeat_json.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "core/base/id_text.h"
#include "core/wire/cursor.h"
#include "core/wire/service.h"

static int refuse(char ret_text[static HEARTBEAT_JSON_TEXT_BYTES], const char *what)
{
    snprintf(ret_text, HEARTBEAT_JSON_TEXT_BYTES, "%s", what);
    return -EINVAL;
}

/* jansson's own words say which field is missing, unknown or wrong. */
static int refuse_fields(char ret_text[static HEARTBEAT_JSON_TEXT_BYTES], const json_error_t *error)
{
    return refuse(ret_text, error->text);
}

/* What jansson's unpacking may not change it does not change. */
static json_t *unlocked(const json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

/* Within range of the type it goes to; what lies between is checked by the wire's encoder. */
static bool fits(json_int_t number, uint64_t max)
{
    return number >= 0 && (uint64_t)number <= max;
}

/* ---- lists ---- */

static json_t *services_to_json(const struct wire_heartbeat *heartbeat)
{
    json_t *array = json_array();
    for (uint8_t i = 0; i < heartbeat->service_count; i++) {
        const struct wire_service_load *service = &heartbeat->services[i];
        json_array_append_new(array, json_pack("{s:s, s:f, s:f}", "service", id_text_of(service->service_id).text, "work_s",
                                               (double)service->work_s, "rate", (double)service->rate));
    }
    return array;
}

static int services_from_json(const json_t *array, struct wire_heartbeat *heartbeat)
{
    if (!json_is_array(array) || json_array_size(array) > NODE_SERVICES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct wire_service_load *service = &heartbeat->services[heartbeat->service_count++];
        const char *id;
        double work_s, rate;
        if (json_unpack(json_array_get(array, i), "{s:s, s:F, s:F}", "service", &id, "work_s", &work_s, "rate", &rate) < 0 ||
            id_text_parse(id, &service->service_id) < 0)
            return -EINVAL;
        service->work_s = (float)work_s;
        service->rate = (float)rate;
    }
    return 0;
}

static json_t *echoes_to_json(const struct wire_heartbeat *heartbeat)
{
    json_t *object = json_object();
    for (uint8_t i = 0; i < heartbeat->echo_count; i++)
        json_object_set_new(object, id_text_of(heartbeat->echoes[i].dispatcher_boot_id).text,
                            json_integer((json_int_t)heartbeat->echoes[i].jobs));
    return object;
}

static int echoes_from_json(const json_t *object, struct wire_heartbeat *heartbeat)
{
    const char *id;
    json_t *jobs;
    if (!json_is_object(object) || json_object_size(object) > ECHOES_MAX)
        return -EINVAL;
    json_object_foreach(unlocked(object), id, jobs)
    {
        struct wire_echo *echo = &heartbeat->echoes[heartbeat->echo_count++];
        if (!json_is_integer(jobs) || !fits(json_integer_value(jobs), UINT32_MAX) ||
            id_text_parse(id, &echo->dispatcher_boot_id) < 0)
            return -EINVAL;
        echo->jobs = (uint32_t)json_integer_value(jobs);
    }
    return 0;
}

static json_t *metadata_to_json(const struct wire_heartbeat *heartbeat)
{
    json_t *object = json_object();
    for (uint8_t i = 0; i < heartbeat->metadata_count; i++) {
        const char *name = wire_metadata_name(heartbeat->metadata[i].key);
        if (name != NULL)
            json_object_set_new(object, name, json_real((double)heartbeat->metadata[i].value));
    }
    return object;
}

/* Names that we don't know are passed over, as keys are in datagrams. */
static int metadata_from_json(const json_t *object, struct wire_heartbeat *heartbeat)
{
    if (!json_is_object(object))
        return -EINVAL;
    for (uint32_t key = 1; key <= UINT8_MAX && heartbeat->metadata_count < METADATA_MAX; key++) {
        const char *name = wire_metadata_name((uint8_t)key);
        const json_t *value = name != NULL ? json_object_get(object, name) : NULL;
        if (value == NULL)
            continue;
        if (!json_is_number(value))
            return -EINVAL;
        heartbeat->metadata[heartbeat->metadata_count++] =
            (struct wire_metadata){.key = (uint8_t)key, .value = (float)json_number_value(value)};
    }
    return 0;
}

static json_t *admin_to_json(const struct wire_admin *admin)
{
    return json_pack("{s:I, s:s, s:i, s:f}", "version", (json_int_t)admin->version_ms, "writer",
                     id_text_of(admin->writer_rm_id).text, "flags", (int)admin->flags, "weight", (double)admin->weight);
}

static int admin_from_json(const json_t *object, struct wire_admin *admin)
{
    json_int_t version, flags;
    double weight;
    const char *writer;
    if (json_unpack(unlocked(object), "{s:I, s:s, s:I, s:F}", "version", &version, "writer", &writer, "flags", &flags, "weight",
                    &weight) < 0 ||
        !fits(version, INT64_MAX) || !fits(flags, UINT8_MAX) || !(weight >= 0 && weight <= (double)FLT_MAX) ||
        id_text_parse(writer, &admin->writer_rm_id) < 0)
        return -EINVAL;
    admin->version_ms = (uint64_t)version;
    admin->flags = (uint8_t)flags;
    admin->weight = (float)weight;
    return 0;
}

/* ---- REGISTER ---- */

json_t *register_to_json(const struct wire_register *registration)
{
    json_t *names = json_array();
    for (uint8_t i = 0; i < registration->service_count; i++)
        json_array_append_new(names, json_string(registration->services[i].text));
    return json_pack("{s:s, s:I, s:i, s:i, s:i, s:o}", "boot", id_text_of(registration->trailer.boot_id).text, "sequence",
                     (json_int_t)registration->trailer.sequence, "kind", (int)registration->kind, "flags",
                     (int)registration->node_flags, "slots", (int)registration->slots, "services", names);
}

bool json_is_of_node(const json_t *value)
{
    return json_object_get(value, "sequence") != NULL;
}

static int names_from_json(const json_t *array, struct wire_register *registration)
{
    if (!json_is_array(array) || json_array_size(array) > NODE_SERVICES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *name = json_array_get(array, i);
        struct wire_service_name *to = &registration->services[registration->service_count++];
        if (!json_is_string(name) || !service_name_valid(json_string_value(name), json_string_length(name)))
            return -EINVAL;
        to->length = (uint8_t)json_string_length(name);
        memcpy(to->text, json_string_value(name), to->length);
    }
    return 0;
}

int register_from_json(const json_t *value, const struct address *node, struct wire_register *ret_registration,
                       char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    struct wire_register registration = {.node = *node};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    json_error_t error;
    json_int_t sequence, kind, flags, slots;
    json_t *names;
    const char *boot;
    if (json_unpack_ex(unlocked(value), &error, JSON_STRICT, "{s:s, s:I, s:I, s:I, s:I, s:o}", "boot", &boot, "sequence",
                       &sequence, "kind", &kind, "flags", &flags, "slots", &slots, "services", &names) < 0)
        return refuse_fields(ret_text, &error);
    if (id_text_parse(boot, &registration.trailer.boot_id) < 0 || names_from_json(names, &registration) < 0)
        return refuse(ret_text, "boot or services: 16 hexadecimal digits, and a list of names");
    if (!fits(sequence, INT64_MAX) || !fits(kind, UINT8_MAX) || !fits(flags, UINT8_MAX) || !fits(slots, UINT16_MAX))
        return refuse(ret_text, "a number is out of the range that PROTOCOL.md gives it");
    registration.trailer.sequence = (uint64_t)sequence;
    registration.kind = (uint8_t)kind;
    registration.node_flags = (uint8_t)flags;
    registration.slots = (uint16_t)slots;
    if (wire_register_encode(&registration, 0, 0, bytes, sizeof(bytes)) < 0)
        return refuse(ret_text, "it says what no REGISTER may say, see PROTOCOL.md");
    *ret_registration = registration;
    return 0;
}

/* ---- HEARTBEAT ---- */

json_t *heartbeat_to_json(const struct wire_heartbeat *heartbeat)
{
    return json_pack("{s:s, s:I, s:i, s:i, s:i, s:I, s:f, s:f, s:I, s:I, s:o, s:o, s:o, s:o}", "boot",
                     id_text_of(heartbeat->trailer.boot_id).text, "sequence", (json_int_t)heartbeat->trailer.sequence, "kind",
                     (int)heartbeat->kind, "flags", (int)heartbeat->node_flags, "slots", (int)heartbeat->slots, "timestamp",
                     (json_int_t)heartbeat->timestamp_ms, "load", (double)heartbeat->load_index, "load_per_job",
                     (double)heartbeat->load_per_job, "jobs_queued", (json_int_t)heartbeat->jobs_queued, "jobs_running",
                     (json_int_t)heartbeat->jobs_running, "admin", admin_to_json(&heartbeat->admin), "services",
                     services_to_json(heartbeat), "echoes", echoes_to_json(heartbeat), "metrics", metadata_to_json(heartbeat));
}

int heartbeat_from_json(const json_t *value, const struct address *node, struct wire_heartbeat *ret_heartbeat,
                        char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    struct wire_heartbeat heartbeat = {.node = *node};
    uint8_t bytes[DATAGRAM_BYTES_MAX];
    json_error_t error;
    json_int_t sequence, kind, flags, slots, timestamp_ms, queued, running;
    double load, per_job;
    json_t *admin, *services, *echoes, *metrics;
    const char *boot;
    if (json_unpack_ex(unlocked(value), &error, JSON_STRICT,
                       "{s:s, s:I, s:I, s:I, s:I, s:I, s:F, s:F, s:I, s:I, s:o, s:o, s:o, s:o}", "boot", &boot, "sequence",
                       &sequence, "kind", &kind, "flags", &flags, "slots", &slots, "timestamp", &timestamp_ms, "load", &load,
                       "load_per_job", &per_job, "jobs_queued", &queued, "jobs_running", &running, "admin", &admin, "services",
                       &services, "echoes", &echoes, "metrics", &metrics) < 0)
        return refuse_fields(ret_text, &error);
    if (id_text_parse(boot, &heartbeat.trailer.boot_id) < 0 || admin_from_json(admin, &heartbeat.admin) < 0 ||
        services_from_json(services, &heartbeat) < 0 || echoes_from_json(echoes, &heartbeat) < 0 ||
        metadata_from_json(metrics, &heartbeat) < 0)
        return refuse(ret_text, "boot, admin, services, echoes or metrics are not as docs/HTTP.md shows them");
    if (!fits(sequence, INT64_MAX) || !fits(kind, UINT8_MAX) || !fits(flags, UINT8_MAX) || !fits(slots, UINT16_MAX) ||
        !fits(timestamp_ms, INT64_MAX) || !fits(queued, UINT32_MAX) || !fits(running, UINT32_MAX))
        return refuse(ret_text, "a number is out of the range that PROTOCOL.md gives it");
    heartbeat.trailer.sequence = (uint64_t)sequence;
    heartbeat.kind = (uint8_t)kind;
    heartbeat.node_flags = (uint8_t)flags;
    heartbeat.slots = (uint16_t)slots;
    heartbeat.timestamp_ms = (uint64_t)timestamp_ms;
    heartbeat.load_index = (float)load;
    heartbeat.load_per_job = (float)per_job;
    heartbeat.jobs_queued = (uint32_t)queued;
    heartbeat.jobs_running = (uint32_t)running;
    if (wire_heartbeat_encode(&heartbeat, 0, 0, bytes, sizeof(bytes)) < 0)
        return refuse(ret_text, "it says what no HEARTBEAT may say, see PROTOCOL.md");
    *ret_heartbeat = heartbeat;
    return 0;
}

/* ---- HEARTBEAT_ACK ---- */

json_t *heartbeat_ack_to_json(const struct wire_heartbeat_ack *ack)
{
    json_t *dispatchers = json_array();
    for (uint8_t i = 0; i < ack->dispatcher_count; i++) {
        char text[ADDRESS_TEXT_BYTES];
        json_array_append_new(dispatchers, json_pack("{s:s, s:s}", "address", address_format(&ack->dispatchers[i].address, text),
                                                     "boot", id_text_of(ack->dispatchers[i].boot_id).text));
    }
    return json_pack("{s:s, s:s, s:i, s:b, s:I, s:o, s:I, s:i, s:o}", "rm", id_text_of(ack->rm_id).text, "boot",
                     id_text_of(ack->trailer.boot_id).text, "region", (int)ack->region, "register",
                     (ack->flags & WIRE_ACK_REGISTER_WANTED) != 0, "sequence", (json_int_t)ack->acked_sequence, "admin",
                     admin_to_json(&ack->admin), "nodes", (json_int_t)ack->node_total, "dispatcher_total",
                     (int)ack->dispatcher_total, "dispatchers", dispatchers);
}

static int dispatchers_from_json(const json_t *array, struct wire_heartbeat_ack *ack)
{
    if (!json_is_array(array))
        return -EINVAL;
    for (size_t i = 0; i < json_array_size(array) && ack->dispatcher_count < ACK_DISPATCHERS_MAX; i++) {
        struct wire_ack_dispatcher *dispatcher = &ack->dispatchers[ack->dispatcher_count++];
        const char *address, *boot;
        if (json_unpack(json_array_get(array, i), "{s:s, s:s}", "address", &address, "boot", &boot) < 0 ||
            address_parse(address, &dispatcher->address) < 0 || !wire_address_usable(&dispatcher->address) ||
            id_text_parse(boot, &dispatcher->boot_id) < 0 || dispatcher->boot_id == 0)
            return -EINVAL;
    }
    return 0;
}

int heartbeat_ack_from_json(const json_t *value, struct wire_heartbeat_ack *ret_ack,
                            char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    struct wire_heartbeat_ack ack = {.flags = 0};
    json_error_t error;
    json_int_t region, sequence, nodes, total;
    json_t *admin, *dispatchers;
    const char *rm, *boot;
    int wanted;
    if (json_unpack_ex(unlocked(value), &error, 0, "{s:s, s:s, s:I, s:b, s:I, s:o, s:I, s:I, s:o}", "rm", &rm, "boot", &boot,
                       "region", &region, "register", &wanted, "sequence", &sequence, "admin", &admin, "nodes", &nodes,
                       "dispatcher_total", &total, "dispatchers", &dispatchers) < 0)
        return refuse_fields(ret_text, &error);
    if (id_text_parse(rm, &ack.rm_id) < 0 || id_text_parse(boot, &ack.trailer.boot_id) < 0 ||
        admin_from_json(admin, &ack.admin) < 0 || dispatchers_from_json(dispatchers, &ack) < 0 || !fits(region, UINT16_MAX) ||
        !fits(sequence, INT64_MAX) || !fits(nodes, UINT32_MAX) || !fits(total, UINT16_MAX) || total < ack.dispatcher_count ||
        ack.trailer.boot_id == 0)
        return refuse(ret_text, "a field is not as docs/HTTP.md shows it");
    ack.admin.flags &= WIRE_ADMIN_DRAIN | WIRE_ADMIN_WEIGHT; /* what a newer rm means by others we do not pass on */
    ack.region = (uint16_t)region;
    ack.flags = wanted ? WIRE_ACK_REGISTER_WANTED : 0;
    ack.acked_sequence = (uint64_t)sequence;
    ack.node_total = (uint32_t)nodes;
    ack.dispatcher_total = (uint16_t)total;
    *ret_ack = ack;
    return 0;
}
