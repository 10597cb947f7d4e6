/* What operators may ask rm and tell it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/service.h"
#include "rm/listing.h"
#include "rm/rm.h"
#include "rm/services_json.h"

int rm_admin_nodes(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    const char *service = call->word_count > 0 ? call->words[0] : NULL;
    if (service && !service_name_valid(service, strlen(service)))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" cannot be a service: names are 1 to 63 of [A-Za-z0-9._-]",
                          service);
    uint64_t id = service ? service_id(service, strlen(service)) : 0;
    if (service && map_get(&rm->cluster->services.by_id, &id) == MAP_NONE)
        return admin_fail(call, USHER_ENOSERVICE, EXIT_CODE_NO_NODE,
                          "no node has ever offered %s here%s; is its name right? `services` lists all", service,
                          rm_lists_wait_ns(rm) > 0 ? ", but rm has just started: nodes may be missing yet" : "");
    enum listing_kind kind = rm_lists_wait_ns(rm) > 0 ? LISTING_NODES_ADMIN_EARLY : LISTING_NODES_ADMIN;
    int error = listing_open(rm->cluster, daemon_loop(rm->daemon), kind, service ? &id : NULL, &call->pieces);
    return error < 0 ? admin_fail(call, error, EXIT_CODE_FAILED, "out of memory") : ADMIN_PIECES;
}

int rm_admin_services(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    if (rm_lists_wait_ns(rm) > 0)
        json_object_set_new(call->answer, "note", json_string(LISTING_EARLY_NOTE));
    json_object_set_new(call->answer, "services", services_json(rm->cluster));
    return 0;
}

int rm_admin_subscribers(void *state, struct admin_call *call)
{
    const struct rm *rm = state;
    json_t *rows = json_array();
    subscribers_list(rm->subscribers, rows);
    json_object_set_new(call->answer, "subscribers", rows);
    return 0;
}

/* What follows from its state. */
static const char *node_outlook(const struct node *node)
{
    if (node_is_drained(node))
        return "dispatchers do not hand it out";
    if ((node->flags & WIRE_NODE_DRAINING) != 0)
        return "it is leaving: dispatchers do not hand it out";
    if (node->state == NODE_LAST)
        return "its heartbeats are missing: dispatchers hand it out after all others";
    return node->state == NODE_FRESH ? "dispatchers hand it out" : "it does not heartbeat: dispatchers do not hand it out";
}

static void stored_tell(json_t *answer, bool stored)
{
    json_object_set_new(answer, "stored", json_boolean(stored));
    if (!stored)
        json_object_set_new(answer, "note",
                            json_string("Redis has not confirmed it: this rm alone knows, until a later try "
                                        "succeeds or, of a node of Usher's own, its next heartbeat"));
}

static void on_stored(void *ctx, bool stored)
{
    struct admin_later *later = ctx;
    stored_tell(admin_later_answer(later), stored);
    admin_later_finish(later);
}

/* The answer waits for Redis, so that what was answered survives a kill of rm; for as long as a call to Redis may take, 100 ms. */
static int word_answer(struct rm *rm, struct admin_call *call, uint32_t slot)
{
    struct admin_later *later = admin_defer(call);
    if (later && mirror_word_write(rm->mirror, slot, on_stored, later) == 0)
        return ADMIN_LATER;
    if (later)
        admin_defer_cancel(call);
    stored_tell(call->answer, false);
    return 0;
}

static int admin_set(struct rm *rm, struct admin_call *call, uint8_t set, uint8_t clear)
{
    struct address address;
    const char *reason;
    int error = admin_option(call, 1, "--reason", &reason);
    if (error < 0)
        return error;
    if (address_parse(call->words[0], &address) < 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is not a node: give its address, ip:port or [ip6]:port",
                          call->words[0]);
    error = cluster_admin_set(rm->cluster, rm_now(rm), &address, set, clear, reason);
    if (error < 0)
        return admin_fail(call, error, EXIT_CODE_FAILED, "no node %s has heartbeaten here; `nodes` lists those that have",
                          call->words[0]);
    subscribers_notify(rm->subscribers);
    uint32_t slot = cluster_find(rm->cluster, &address);
    const struct node *node = &rm->cluster->nodes[slot];
    json_object_set_new(call->answer, "node", json_string(call->words[0]));
    json_object_set_new(call->answer, "state", json_string(node_word(node)));
    json_object_set_new(call->answer, "drained", json_boolean(node_is_drained(node)));
    json_object_set_new(call->answer, "now", json_string(node_outlook(node)));
    return word_answer(rm, call, slot);
}

int rm_admin_drain(void *state, struct admin_call *call)
{
    return admin_set(state, call, WIRE_ADMIN_DRAIN, 0);
}

int rm_admin_ready(void *state, struct admin_call *call)
{
    return admin_set(state, call, 0, WIRE_ADMIN_DRAIN);
}

int rm_admin_weight(void *state, struct admin_call *call)
{
    struct rm *rm = state;
    struct address address;
    const char *wanted = call->words[1];
    char *end;
    if (address_parse(call->words[0], &address) < 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is not a node: give its address, ip:port or [ip6]:port",
                          call->words[0]);
    errno = 0;
    float weight = strtof(wanted, &end);
    bool in_range = weight == 0 ? errno != ERANGE : weight >= WEIGHT_MIN && weight <= WEIGHT_MAX;
    bool automatic = strcmp(wanted, "auto") == 0;
    if (!automatic && (end == wanted || *end != '\0' || wanted[strspn(wanted, "0123456789.e+-")] != '\0' || !in_range))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE,
                          "\"%.70s\" is not a weight: give 0, a number from %.6f to %.0f, or auto", wanted, (double)WEIGHT_MIN,
                          (double)WEIGHT_MAX);
    int error = cluster_admin_weight(rm->cluster, rm_now(rm), &address, automatic ? NULL : &weight);
    if (error < 0)
        return admin_fail(call, error, EXIT_CODE_FAILED, "no node %s has heartbeaten here; `nodes` lists those that have",
                          call->words[0]);
    subscribers_notify(rm->subscribers);
    uint32_t slot = cluster_find(rm->cluster, &address);
    const struct node *node = &rm->cluster->nodes[slot];
    json_object_set_new(call->answer, "node", json_string(call->words[0]));
    json_object_set_new(call->answer, "set_by", json_string(automatic ? "capacity and use" : "operator"));
    json_object_set_new(call->answer, "weight",
                        node->service_count ? json_real((double)weights_of(rm->cluster, node, 0)) : json_null());
    return word_answer(rm, call, slot);
}
