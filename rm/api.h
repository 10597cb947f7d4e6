/* api - rm over HTTP (docs/HTTP.md): nodes register, heartbeat and go; consumers list them or ask for one (requirements N9, R7).
 *
 *   api.c        routes, and what is only read        api_node.c   a body → heartbeat → cluster
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

/* PUT /v1/nodes/ADDRESS, POST /v1/nodes/ADDRESS/heartbeat, DELETE /v1/nodes/ADDRESS. */
int api_node_register(struct rm *rm, const struct address *address, const struct http_request *request,
                      struct http_answer *answer);
int api_node_heartbeat(struct rm *rm, const struct address *address, const struct http_request *request,
                       struct http_answer *answer);
int api_node_deregister(struct rm *rm, const struct address *address, struct http_answer *answer);
