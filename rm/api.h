/* api - rm over HTTP (docs/HTTP.md): nodes register, heartbeat and go; consumers list them or ask for one (requirements N9, R7).
 *
 *   api.c        routes, and what is only read        api_node.c   a body → heartbeat → cluster
 *   api_own.c    the same for nodes of Usher's own that are told --rm http://…
 * Thread: the control loop's. Memory: the answers' bodies. Nothing blocks. */
#pragma once

#include "core/http/server.h"
#include "rm/rm.h"

#define API_BODY_BYTES_MAX (16u << 10)
#define API_CONNECTIONS_MAX 1024u /* nodes that heartbeat over HTTP keep one each, if they like; the longest idle one gives way */

/* Answers with a status and {"error": text}. Returns what buffer_print does. */
int api_refuse(struct http_answer *answer, int status, const char *format, ...) PRINTF_LIKE(3, 4);

/* Takes the reference. -ENOMEM, also for NULL. */
int api_answer(struct http_answer *answer, json_t *value);

/* Says why the cluster did not take it. */
int api_refuse_verdict(struct http_answer *answer, enum cluster_verdict verdict);

/* REGISTER or HEARTBEAT of one of our nodes, as JSON (core/api/heartbeat_json.h). */
int api_own_take(struct rm *rm, const struct address *address, const json_t *root, bool registers, struct http_answer *answer);

/* PUT /v1/nodes/ADDRESS, POST /v1/nodes/ADDRESS/heartbeat, DELETE /v1/nodes/ADDRESS. */
int api_node_register(struct rm *rm, const struct address *address, const struct http_request *request,
                      struct http_answer *answer);
int api_node_heartbeat(struct rm *rm, const struct address *address, const struct http_request *request,
                       struct http_answer *answer);
int api_node_deregister(struct rm *rm, const struct address *address, const struct http_request *request,
                        struct http_answer *answer);
