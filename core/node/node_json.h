/* node_json - a node's state for `usherctl status`, the same words for workers and dispatchers.
 * Thread: any. Memory: the object is the caller's. Nothing blocks. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "core/node/node.h"

/* Adds a member "node" to the object; without memory it stays away. now_ns: CLOCK_MONOTONIC. */
void node_to_json(const struct node *node, uint64_t now_ns, json_t *object);
