/* `usherctl pick SERVICE [--explain] [--region ID]`: which node the next request would be given, as a dry run (core/policy/explain.h). */
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/conf/value.h"
#include "core/policy/explain.h"
#include "core/wire/service.h"
#include "dispatcher/dispatcher.h"

/* A key is a load index or a time, by policy. */
static const char *key_meaning(enum policy policy)
{
    switch (policy) {
    case POLICY_TWO_CHOICES: return "expected load index: as reported, and own picks since";
    case POLICY_FINISH_TIME: return "seconds until a job that goes there now has been done";
    case POLICY_BELOW_AVERAGE:
    case POLICY_RANDOM:
    case POLICY_ROUND_ROBIN:
    case POLICY_WEIGHTED:
    case POLICIES: break;
    }
    return NULL;
}

static const char *source_name(enum explain_source source)
{
    static const char *const names[] = {[EXPLAIN_DRAWN] = "drawn", [EXPLAIN_IDLE] = "idle", [EXPLAIN_ANEW] = "anew"};
    return names[source];
}

static const char *token_name(const struct node_values *values)
{
    uint8_t token = atomic_load_explicit(&values->token, memory_order_relaxed);
    return token & NODE_TOKEN_IDLE ? "told" : token & NODE_TOKEN_HELD ? "looks idle" : "";
}

static void set_known_s(json_t *row, const char *name, float value_s)
{
    json_object_set_new(row, name, value_s > 0 ? json_real((double)value_s) : json_null());
}

/* What was known before the pick, with what only the control thread knows. */
static json_t *node_json(const struct dispatcher *dispatcher, const struct explained_node *node, uint64_t now_ns)
{
    const struct members *members = &dispatcher->directory->members;
    const struct member *member = members_at(members, node->slot);
    const struct node_values *known = &node->known;
    uint32_t picks = atomic_load_explicit(&known->picks, memory_order_relaxed);
    uint32_t unseen = picks - atomic_load_explicit(&known->picks_at_report, memory_order_relaxed);
    uint32_t ordinal = node->ordinal % VALUES_SERVICES_MAX;
    float job_s = finish_time_job_s(atomic_load_explicit(&known->job_codes[ordinal], memory_order_relaxed));
    char text[ADDRESS_TEXT_BYTES];
    json_t *row = json_object();
    json_object_set_new(row, "chosen", json_boolean(node->chosen));
    json_object_set_new(row, "address", json_string(address_format(&known->address, text)));
    json_object_set_new(row, "from", json_string(source_name(node->source)));
    json_object_set_new(row, "qualifies", json_boolean(node->qualifies));
    json_object_set_new(row, "key", node->has_key ? json_real((double)node->key) : json_null());
    json_object_set_new(row, "kind", json_string(member && member->kind == WIRE_NODE_DISPATCHER ? "dispatcher" : "worker"));
    json_object_set_new(row, "state", json_string(member ? wire_node_state_name(member->flags) : "gone"));
    json_object_set_new(row, "load_index", json_real((double)atomic_load_explicit(&known->load_index, memory_order_relaxed)));
    json_object_set_new(row, "below",
                        json_boolean(atomic_load_explicit(&known->below_mask, memory_order_relaxed) >> node->ordinal & 1));
    json_object_set_new(row, "weight",
                        member ? json_real((double)*members_weight_at(members, node->slot, node->ordinal)) : json_null());
    json_object_set_new(row, "jobs", member ? json_integer((json_int_t)member->jobs_queued + member->jobs_running) : json_null());
    json_object_set_new(row, "slots", member ? json_integer(member->slots) : json_null());
    set_known_s(row, "job_s", job_s);
    json_object_set_new(row, "done_in_s", job_s > 0 ? json_real((double)finish_time_left_s(known, now_ns)) : json_null());
    json_object_set_new(row, "token", json_string(token_name(known)));
    json_object_set_new(row, "own_picks", json_integer(unseen));
    json_object_set_new(row, "age_s",
                        member ? json_real((double)(now_ns - member->reported_ns) / (double)NS_PER_S) : json_null());
    return row;
}

static void explanation_json(const struct dispatcher *dispatcher, const struct explanation *explanation, uint64_t now_ns,
                             json_t *answer)
{
    const char *meaning = key_meaning(explanation->policy);
    json_t *rows = json_array();
    for (uint32_t i = 0; i < explanation->node_count; i++)
        json_array_append_new(rows, node_json(dispatcher, &explanation->nodes[i], now_ns));
    json_object_set_new(answer, "key", meaning ? json_string(meaning) : json_null());
    json_object_set_new(answer, "offered_by", json_integer(explanation->member_count));
    if (explanation->policy == POLICY_FINISH_TIME) {
        json_object_set_new(answer, "idle_at_hand", json_integer(explanation->idle_count));
        json_object_set_new(answer, "dispatchers", json_integer(explanation->dispatchers));
        json_object_set_new(answer, "information_age_s", json_real((double)explanation->age_s));
    }
    json_object_set_new(answer, "candidates", rows);
}

static int explain_fail(const struct dispatcher *dispatcher, struct admin_call *call, int error)
{
    const char *service = call->words[0];
    if (!directory_is_filled(dispatcher->directory))
        return admin_fail(call, USHER_ENONODE, EXIT_CODE_NO_NODE, "this dispatcher knows no nodes yet: is its rm reachable?");
    if (error == USHER_ENOSERVICE)
        return admin_fail(call, error, EXIT_CODE_NO_NODE, "no node in this directory has ever offered %s; is its name right?",
                          service);
    if (error == USHER_ENONODE)
        return admin_fail(call, error, EXIT_CODE_NO_NODE,
                          "no eligible node: all that offer %s have left or are drained; see nodes %s", service, service);
    return admin_fail(call, error, EXIT_CODE_FAILED, "cannot explain: %s", error_text(error));
}

/* What may follow the service. */
static int pick_options_read(struct admin_call *call, bool *ret_explained, const char **ret_region)
{
    bool explained = false;
    const char *region = NULL;
    for (size_t i = 1; i < call->word_count; i++) {
        const char *word = call->words[i];
        if (!explained && strcmp(word, "--explain") == 0)
            explained = true;
        else if (!region && strcmp(word, "--region") == 0 && i + 1 < call->word_count)
            region = call->words[++i];
        else
            return admin_fail(call, -EINVAL, EXIT_CODE_USAGE,
                              "\"%.70s\" is not understood here; only --explain and --region ID may follow, once each", word);
    }
    *ret_explained = explained;
    *ret_region = region;
    return 0;
}

/* Nodes of other regions are handed out by their own dispatchers. */
static int region_check(const struct dispatcher *dispatcher, struct admin_call *call, const char *text)
{
    const struct location *location = dispatcher->directory->view->location;
    double region;
    char others[256] = "";
    if (value_parse_number(text, &region) < 0 || region < 1 || region > UINT16_MAX || region > (uint16_t)region)
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "--region \"%.70s\": give a region's number, 1 to 65535", text);
    if ((uint16_t)region == location->own_region)
        return 0;
    size_t at = 0;
    for (uint32_t i = 0; i < location->dispatcher_count && at < sizeof(others); i++) {
        char address[ADDRESS_TEXT_BYTES];
        if (location->dispatchers[i].region == (uint16_t)region)
            at += (size_t)snprintf(others + at, sizeof(others) - at, "%s%s", at ? ", " : "",
                                   address_format(&location->dispatchers[i].address, address));
    }
    return admin_fail(
        call, -EINVAL, EXIT_CODE_USAGE,
        at ? "this dispatcher hands out nodes of region %u; ask one of region %u on its machine: %s"
           : "this dispatcher hands out nodes of region %u, and knows of no dispatcher of region %u; is it in --regions?%s",
        location->own_region, (uint16_t)region, others);
}

int dispatcher_admin_pick(void *state, struct admin_call *call)
{
    struct dispatcher *dispatcher = state;
    const char *service = call->words[0];
    bool explained = false;
    const char *region = NULL;
    enum policy policy = (enum policy)atomic_load_explicit(&dispatcher->shared.policy, memory_order_relaxed);
    struct random_state seed;
    struct pick_state picks = {
        .finish = &dispatcher->placement->finish,
        .now_ns = loop_now_ns(daemon_loop(dispatcher->daemon)),
    };
    struct explanation explanation;
    char text[ADDRESS_TEXT_BYTES];
    int error = pick_options_read(call, &explained, &region);
    if (error == 0 && region)
        error = region_check(dispatcher, call, region);
    if (error < 0)
        return error;
    if (!service_name_valid(service, strlen(service)))
        return admin_fail(call, -EINVAL, EXIT_CODE_USAGE, "\"%.70s\" cannot be a service: names are 1 to 63 of [A-Za-z0-9._-]",
                          service);
    random_init_from_kernel(&seed);
    pick_state_init(&picks, random_next(&seed), dispatcher->shared.queue_factor);
    error = policy_explain(policy, &picks, dispatcher->directory->view->snapshot, dispatcher->shared.values,
                           service_id(service, strlen(service)), &explanation);
    if (error < 0)
        return explain_fail(dispatcher, call, error);
    const struct address *address = &dispatcher->shared.values[explanation.slot].address;
    json_object_set_new(call->answer, "node", json_string(address_format(address, text)));
    json_object_set_new(call->answer, "region", json_integer(dispatcher->directory->view->location->own_region));
    json_object_set_new(call->answer, "policy", json_string(policy_rows[policy].name));
    json_object_set_new(call->answer, "why", json_string(explain_reason_texts[explanation.reason]));
    json_object_set_new(call->answer, "dry_run", json_string("nothing was counted, changed or handed out"));
    if (explained)
        explanation_json(dispatcher, &explanation, picks.now_ns, call->answer);
    return 0;
}
