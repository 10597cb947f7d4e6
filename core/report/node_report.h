/* node_report - what a program with a node tells operators of it, the same for workers and dispatchers: log lines and measures.
 * (core/node itself neither logs nor knows of daemons; `status` is node_json.h.)
 *
 * Thread: any. Memory: none of its own. Nothing blocks. */
#pragma once

#include "core/daemon/measures.h"
#include "core/node/node.h"

/* For node_events.on_rm: a line of the log for each change of a resource manager's state. ctx is not looked at. */
void node_report_rm(void *ctx, const struct heartbeat_rm *rm, const char *text);

/* For node_events.on_unable, likewise: the beginning and the end of an episode. */
void node_report_unable(void *ctx, int error);

/* For node_events.on_attached, likewise: what became of the servers that the node speaks for. */
void node_report_attached(void *ctx, const struct attach_event *event);

/* The node's counters and all gauges of nodes. */
void node_report_measure(const struct node *node, struct measures *measures);
