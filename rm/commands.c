/* What operators may ask rm and tell it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
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

/* What an operator wants of a node: its drain, or its weight. */
struct change {
    struct rm *rm;
    struct admin_later *later;
    struct address node;
    bool is_weight;
    bool automatic; /* of a weight: the computed one */
    float weight;
    uint8_t set; /* of a drain, as cluster_admin_set takes them: */
    uint8_t clear;
    char reason[NODE_REASON_BYTES_MAX + 2]; /* a byte more than is kept, which shows whether a character is cut */
};

static void drain_tell(const struct node *node, json_t *answer)
{
    json_object_set_new(answer, "state", json_string(node_word(node)));
    json_object_set_new(answer, "drained", json_boolean(node_is_drained(node)));
    json_object_set_new(answer, "now", json_string(node_outlook(node)));
}

static void weight_tell(const struct rm *rm, const struct node *node, json_t *answer)
{
    bool automatic = (node->admin.flags & WIRE_ADMIN_WEIGHT) == 0;
    json_object_set_new(answer, "set_by", json_string(automatic ? "capacity and use" : "operator"));
    json_object_set_new(answer, "weight",
                        node->service_count ? json_real((double)weights_of(rm->cluster, node, 0)) : json_null());
}

/* -ENOENT: no such node. */
static int change_make(const struct change *change, json_t *answer)
{
    struct rm *rm = change->rm;
    int error = change->is_weight
                    ? cluster_admin_weight(rm->cluster, rm_now(rm), &change->node, change->automatic ? NULL : &change->weight)
                    : cluster_admin_set(rm->cluster, rm_now(rm), &change->node, change->set, change->clear, change->reason);
    if (error < 0)
        return error;
    subscribers_notify(rm->subscribers);
    const struct node *node = &rm->cluster->nodes[cluster_find(rm->cluster, &change->node)];
    if (change->is_weight)
        weight_tell(rm, node, answer);
    else
        drain_tell(node, answer);
    return 0;
}

#define NO_NODE_FORMAT "no node %s has heartbeaten here; `nodes` lists those that have"

/* The answer waits for Redis, so that what was answered survives a kill of rm; for as long as a call to Redis may take, 100 ms. */
static void on_word_read(void *ctx)
{
    struct change *change = ctx;
    struct admin_later *later = change->later;
    struct rm *rm = change->rm;
    uint32_t slot = cluster_find(rm->cluster, &change->node);
    char text[ADDRESS_TEXT_BYTES];
    int error = change_make(change, admin_later_answer(later));
    if (error < 0) /* it was silent for so long that it was forgotten meanwhile */
        admin_later_fail(later, error, EXIT_CODE_FAILED, NO_NODE_FORMAT, address_format(&change->node, text));
    else if (mirror_word_write(rm->mirror, slot, on_stored, later) < 0)
        on_stored(later, false);
    free(change);
}

/* Drain and weight of a node are one word. What another rm has just been told is read first, so that it stands beside what is told here. */
static int change_begin(struct admin_call *call, const struct change *wanted)
{
    struct rm *rm = wanted->rm;
    if (cluster_find(rm->cluster, &wanted->node) == NODE_NONE)
        return admin_fail(call, -ENOENT, EXIT_CODE_FAILED, NO_NODE_FORMAT, call->words[0]);
    json_object_set_new(call->answer, "node", json_string(call->words[0]));
    struct admin_later *later = admin_defer(call);
    struct change *change = later ? malloc(sizeof(*change)) : NULL;
    if (change) {
        *change = *wanted;
        change->later = later;
        if (mirror_word_read(rm->mirror, &change->node, on_word_read, change) == 0)
            return ADMIN_LATER;
        free(change);
    }
    if (later)
        admin_defer_cancel(call);
    CHECK(change_make(wanted, call->answer) == 0);
    stored_tell(call->answer, false);
    return 0;
}

static int node_parse(struct admin_call *call, struct address *ret_node)
{
    if (address_parse(call->words[0], ret_node) < 0)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" is not a node: give its address, ip:port or [ip6]:port",
                          call->words[0]);
    return 0;
}

static int admin_set(struct rm *rm, struct admin_call *call, uint8_t set, uint8_t clear)
{
    struct change change = {.rm = rm, .set = set, .clear = clear};
    const char *reason;
    int error = admin_option(call, 1, "--reason", &reason);
    if (error == 0)
        error = node_parse(call, &change.node);
    if (error < 0)
        return error;
    snprintf(change.reason, sizeof(change.reason), "%s", reason ? reason : "");
    return change_begin(call, &change);
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
    const char *wanted = call->words[1];
    char *end;
    struct change change = {.rm = state, .is_weight = true, .automatic = strcmp(wanted, "auto") == 0};
    int error = node_parse(call, &change.node);
    if (error < 0)
        return error;
    errno = 0;
    change.weight = strtof(wanted, &end);
    bool in_range = change.weight == 0 ? errno != ERANGE : change.weight >= WEIGHT_MIN && change.weight <= WEIGHT_MAX;
    if (!change.automatic && (end == wanted || *end != '\0' || wanted[strspn(wanted, "0123456789.e+-")] != '\0' || !in_range))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE,
                          "\"%.70s\" is not a weight: give 0, a number from %.6f to %.0f, or auto", wanted, (double)WEIGHT_MIN,
                          (double)WEIGHT_MAX);
    return change_begin(call, &change);
}
