#include "rm/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/daemon/text_json.h"
#include "core/http/query.h"
#include "core/wire/cursor.h"
#include "core/wire/service.h"
#include "rm/listing.h"
#include "rm/node_text.h"
#include "rm/services_json.h"

#define NODES_PATH "/v1/nodes/"
#define HEARTBEAT_SUFFIX "/heartbeat"

int api_answer(struct http_answer *answer, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    int error = text ? buffer_print(&answer->body, "%s\n", text) : -ENOMEM;
    answer->content_type = "application/json";
    free(text);
    json_decref(value);
    return error;
}

int api_refuse(struct http_answer *answer, int status, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    answer->status = status;
    return api_answer(answer, json_pack("{s:o}", "error", text_to_json(text)));
}

static int refuse_early(const struct rm *rm, uint64_t wait_ns, struct http_answer *answer)
{
    answer->retry_after_s = (uint32_t)((wait_ns + NS_PER_S - 1) / NS_PER_S);
    return api_refuse(
        answer, 503,
        "this rm has just started, and cannot tell yet who is there: every node gets the time for a heartbeat (%" PRIu64
        " ms) before. Ask again then, or another rm",
        rm->cluster->config.valid_ns / NS_PER_MS);
}

/* The service that the query asks for. 1: none; 0; negative: refused already, with *ret_result to return. */
static int service_asked(const struct http_request *request, struct http_answer *answer, uint64_t *ret_id, int *ret_result)
{
    char name[HTTP_QUERY_VALUE_BYTES_MAX + 1];
    int found = http_query_get(request->query, "service", name);
    if (found == -ENOENT)
        return 1;
    if (found < 0 || !service_name_valid(name, strlen(name))) {
        *ret_result = api_refuse(answer, 400, "service: names are 1 to 63 of [A-Za-z0-9._-]");
        return -EINVAL;
    }
    *ret_id = service_id(name, strlen(name));
    return 0;
}

static const struct service *service_find(const struct rm *rm, uint64_t id)
{
    uint32_t index = map_get(&rm->cluster->services.by_id, &id);
    return index == MAP_NONE ? NULL : &rm->cluster->services.item[index];
}

/* In pieces: there may be very many. */
static int list(struct rm *rm, enum listing_kind kind, const uint64_t *service_id, struct http_answer *answer)
{
    answer->content_type = "application/json";
    return listing_open(rm->cluster, daemon_loop(rm->daemon), kind, service_id, &answer->pieces);
}

static int nodes_list(struct rm *rm, const struct http_request *request, struct http_answer *answer)
{
    uint64_t id;
    int result;
    int asked = service_asked(request, answer, &id, &result);
    if (asked < 0)
        return result;
    if (asked == 0 && !service_find(rm, id))
        return api_refuse(answer, 404, "no node has ever offered this service here; GET /v1/services lists all");
    return list(rm, LISTING_NODES, asked == 0 ? &id : NULL, answer);
}

static int services_list(struct rm *rm, const struct http_request *request, struct http_answer *answer)
{
    (void)request;
    return api_answer(answer, json_pack("{s:o}", "services", services_json(rm->cluster)));
}

/* (R7.) One node, as likely as its weight; as dispatchers do, those that have fallen silent and stay listed when there are no others. */
static int node_pick(struct rm *rm, const struct http_request *request, struct http_answer *answer)
{
    char text[ADDRESS_TEXT_BYTES];
    uint64_t id;
    int result;
    int asked = service_asked(request, answer, &id, &result);
    if (asked < 0)
        return result;
    if (asked > 0)
        return api_refuse(answer, 400, "say which service: GET /v1/pick?service=NAME");
    const struct service *service = service_find(rm, id);
    if (!service)
        return api_refuse(answer, 404, "no node has ever offered this service here; GET /v1/services lists all");
    uint32_t slot = weights_pick(service, &rm->picks);
    if (slot == NODE_NONE)
        slot = weights_pick_last(service, &rm->picks);
    if (slot == NODE_NONE)
        return api_refuse(answer, 503, "no node offers %s now: all are drained, leaving or silent", service->name);
    const struct node *node = &rm->cluster->nodes[slot];
    float weight = 0;
    for (uint8_t i = 0; i < node->service_count; i++)
        if (node->services[i].service_id == id)
            weight = weights_of(rm->cluster, node, i);
    return api_answer(answer, json_pack("{s:s, s:f, s:s}", "address", address_format(&node->address, text), "weight",
                                        (double)weight, "state", node_word(node)));
}

/* For Prometheus' http_sd: whoever is listed, by service. */
static int discovery(struct rm *rm, const struct http_request *request, struct http_answer *answer)
{
    uint64_t id;
    int result;
    int asked = service_asked(request, answer, &id, &result);
    return asked < 0 ? result : list(rm, LISTING_TARGETS, asked == 0 ? &id : NULL, answer);
}

static int node_show(struct rm *rm, const struct address *address, struct http_answer *answer)
{
    uint32_t slot = cluster_find(rm->cluster, address);
    uint64_t wait_ns = slot == NODE_NONE ? rm_lists_wait_ns(rm) : 0;
    if (wait_ns > 0)
        return refuse_early(rm, wait_ns, answer);
    if (slot == NODE_NONE)
        return api_refuse(answer, 404, "no such node here; GET /v1/nodes lists all");
    answer->content_type = "application/json";
    int error = node_text_print(rm->cluster, &rm->cluster->nodes[slot], rm_now(rm).ns, &answer->body);
    return error < 0 ? error : buffer_append(&answer->body, "\n", 1);
}

static int verb_refuse(struct http_answer *answer, const char *allow)
{
    answer->allow = allow;
    return api_refuse(answer, 405, "this path knows only %s", allow);
}

/* A parameter that does nothing here is a mistake. True: refused, with *ret_result to return. */
static bool query_is_wrong(const struct http_request *request, const char *const names[], struct http_answer *answer,
                           int *ret_result)
{
    char name[HTTP_QUERY_NAME_BYTES_MAX + 1], known[64] = "";
    int error = http_query_check(request->query, names, name);
    if (error == 0)
        return false;
    for (size_t i = 0; names[i]; i++)
        snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i == 0 ? "" : ", ", names[i]);
    if (error == -EEXIST)
        *ret_result = api_refuse(answer, 400, "the parameter \"%s\" comes twice: say it once", name);
    else if (names[0])
        *ret_result = api_refuse(answer, 400, "\"%s\" is no parameter here; there is %s", name, known);
    else
        *ret_result = api_refuse(answer, 400, "\"%s\" is no parameter here; there are none", name);
    return true;
}

static int node_answer(struct rm *rm, const struct address *address, const struct http_request *request, bool heartbeat,
                       struct http_answer *answer)
{
    static const char *const none[] = {NULL}, *const put[] = {"force", NULL}, *const gone[] = {"instance", "force", NULL};
    bool deletes = request->verb == HTTP_VERB_DELETE, puts = request->verb == HTTP_VERB_PUT && !heartbeat;
    int result;
    if (query_is_wrong(request, deletes ? gone : puts ? put : none, answer, &result))
        return result;
    if (heartbeat)
        return request->verb == HTTP_VERB_POST ? api_node_heartbeat(rm, address, request, answer) : verb_refuse(answer, "POST");
    switch (request->verb) {
    case HTTP_VERB_GET: return node_show(rm, address, answer);
    case HTTP_VERB_PUT: return api_node_register(rm, address, request, answer);
    case HTTP_VERB_DELETE: return api_node_deregister(rm, address, request, answer);
    case HTTP_VERB_POST: break;
    }
    return verb_refuse(answer, "GET, HEAD, PUT, DELETE");
}

/* /v1/nodes/ADDRESS[/heartbeat] */
static int node_route(struct rm *rm, const struct http_request *request, struct http_answer *answer)
{
    char text[ADDRESS_TEXT_BYTES + sizeof(HEARTBEAT_SUFFIX)];
    struct address address;
    if (http_query_decode(request->path + strlen(NODES_PATH), strlen(request->path + strlen(NODES_PATH)), text, sizeof(text)) < 0)
        return api_refuse(answer, 400, "the path is no node's: /v1/nodes/IP:PORT or /v1/nodes/[IP6]:PORT");
    char *slash = strchr(text, '/');
    bool heartbeat = slash && strcmp(slash, HEARTBEAT_SUFFIX) == 0;
    if (slash && !heartbeat)
        return api_refuse(answer, 404, "below a node there is only /heartbeat");
    if (slash)
        *slash = '\0';
    if (address_parse(text, &address) < 0 || !wire_address_usable(&address))
        return api_refuse(answer, 400,
                          "\"%.60s\" is no node's address: give IP:PORT or [IP6]:PORT, where clients reach it (not 0.0.0.0, "
                          "multicast or broadcast)",
                          text);
    return node_answer(rm, &address, request, heartbeat, answer);
}

int rm_http(void *state, const struct http_request *request, struct http_answer *answer)
{
    static const struct {
        const char *path;
        int (*get)(struct rm *rm, const struct http_request *request, struct http_answer *answer);
        const char *names[2]; /* of its parameters */
    } routes[] = {
        {"/v1/nodes", nodes_list, {"service"}},
        {"/v1/services", services_list, {NULL}},
        {"/v1/pick", node_pick, {"service"}},
        {"/sd", discovery, {"service"}},
    };
    int result;
    if (strncmp(request->path, NODES_PATH, strlen(NODES_PATH)) == 0)
        return node_route(state, request, answer);
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (strcmp(request->path, routes[i].path) != 0)
            continue;
        if (request->verb != HTTP_VERB_GET)
            return verb_refuse(answer, "GET, HEAD");
        if (query_is_wrong(request, routes[i].names, answer, &result))
            return result;
        uint64_t wait_ns = rm_lists_wait_ns(state);
        return wait_ns > 0 ? refuse_early(state, wait_ns, answer) : routes[i].get(state, request, answer);
    }
    return api_refuse(answer, 404, "nothing here; there are /v1/nodes, /v1/services, /v1/pick, /sd, /metrics and /healthz");
}
