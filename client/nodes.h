/* nodes - nodes that failed a moment ago and are left out of the next questions: marked after one refusal or two timeouts
 * (reliability: "worker killed, hung, slow"), for the fault time.
 *
 * Pure steps. When the table is full the mark that ends first makes room.
 * Thread: one. Memory: none beside the struct. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/address.h"

#define NODES_MAX 32

struct node_record {
    struct address address; /* ADDRESS_NONE: free */
    uint32_t timeouts; /* in a row */
    uint64_t marked_until_ns;
    uint64_t forget_at_ns; /* a lone timeout counts for so long; ≥ marked_until_ns */
};

struct nodes {
    struct node_record record[NODES_MAX];
    uint64_t fault_time_ns;
    uint64_t faults; /* times that a node was marked */
};

void nodes_init(struct nodes *nodes, uint64_t fault_time_ns);

void nodes_on_refusal(struct nodes *nodes, const struct address *node, uint64_t now_ns);
void nodes_on_timeout(struct nodes *nodes, const struct address *node, uint64_t now_ns);
void nodes_on_answer(struct nodes *nodes, const struct address *node);

/* Appends marked nodes to `excludes`, those already in it apart, until it holds `capacity`; returns the new count. */
uint32_t nodes_exclude(const struct nodes *nodes, uint64_t now_ns, struct address *excludes, uint32_t count, uint32_t capacity);
