/* node_json - what rm knows about nodes and services as JSON: for the admin socket and for HTTP alike.
 * Thread: the control loop's. Memory: what is returned is the caller's reference; NULL when memory ran out. */
#pragma once

#include <jansson.h>

#include "rm/cluster.h"

json_t *node_json(const struct cluster *cluster, const struct node *node, uint64_t now_ns);

/* All nodes, or, where service_id is given, those that offer it. */
json_t *nodes_json(const struct cluster *cluster, const uint64_t *service_id, uint64_t now_ns);

json_t *services_json(const struct cluster *cluster);

bool node_offers(const struct node *node, uint64_t service_id);
