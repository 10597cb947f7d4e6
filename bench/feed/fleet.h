/* fleet - the nodes that bench-feed makes up: distinct addresses in 10.0.0.0/8, loads, who leaves and who joins.
 *
 * Invariant: the same seed and the same calls give the same fleet. A node below the average is one whose load is below `below`, so the
 * share of those stays what was asked for.
 * Thread: one owner. Memory: allocated in fleet_init, freed by fleet_done. Nothing blocks; time is handed in. */
#pragma once

#include "core/base/random.h"
#include "core/wire/directory.h"

struct fleet_config {
    uint32_t node_count;
    uint32_t service_count;
    uint32_t services_per_node; /* fewer where there are fewer services */
    float below;
    uint64_t seed;
};

struct fleet_node {
    uint64_t reported_ns;
    uint32_t serial; /* its address, and which services it offers */
    float load;
};

struct fleet {
    struct fleet_config config;
    struct random_state random;
    uint64_t *service_ids;
    struct fleet_node *nodes;
    uint32_t next_serial;
    uint32_t next_update;
};

/* -ENOMEM. */
NODISCARD int fleet_init(struct fleet *fleet, const struct fleet_config *config, uint64_t now_ns);
void fleet_done(struct fleet *fleet);

/* The next node in turn reports another load; returns its index. */
uint32_t fleet_update(struct fleet *fleet, uint64_t now_ns);

/* A node leaves, and another one takes its place; returns its index. */
uint32_t fleet_replace(struct fleet *fleet, uint64_t now_ns, struct address *ret_left);

/* What a list says of a node. */
void fleet_entry(const struct fleet *fleet, uint32_t index, uint64_t now_ns, struct wire_node *ret_entry);
