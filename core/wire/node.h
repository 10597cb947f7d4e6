/* node - what HEARTBEAT, REGISTER, DIRECTORY and DELTA say about a node in the same words.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include <stdint.h>

enum wire_node_kind {
    WIRE_NODE_DISPATCHER = 1,
    WIRE_NODE_WORKER = 2,
};

/* Bits of node_flags. */
enum wire_node_flag {
    WIRE_NODE_NO_ECHO = 1, /* does not count the jobs it gets: an attached server */
    WIRE_NODE_DRAINING = 2, /* leaving after SIGTERM: gets nothing new */
    WIRE_NODE_NO_JOBS = 4, /* takes no jobs: a dispatcher started with --no-jobs */
    WIRE_NODE_LAST = 8, /* rm says: its heartbeat has expired; only if nothing better is there */
    WIRE_NODE_ADMIN_DRAIN = 16, /* rm says: drained by an operator */
};
#define WIRE_NODE_FLAGS_OF_NODE (WIRE_NODE_NO_ECHO | WIRE_NODE_DRAINING | WIRE_NODE_NO_JOBS)
#define WIRE_NODE_FLAGS_OF_RM (WIRE_NODE_FLAGS_OF_NODE | WIRE_NODE_LAST | WIRE_NODE_ADMIN_DRAIN)

/* The state of a node in a directory in one word for operators, the same at rm and at dispatchers: "drained", "leaving", "last" or
 * "ready". flags: within WIRE_NODE_FLAGS_OF_RM. */
const char *wire_node_state_name(uint8_t flags);
