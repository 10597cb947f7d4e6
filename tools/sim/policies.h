/* policies - what picks nodes in a simulation: the product's policies on the product's data, and references that know more than any
 * dispatcher can, or that others use.
 *
 * Thread: one owner. Memory: open allocates the policy's state, close frees it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

struct world;
struct report;

struct sim_policy {
    const char *name;
    const char *help;
    void *(*open)(struct world *world);
    void (*close)(void *state);
    uint32_t (*pick)(struct world *world, uint32_t dispatcher);
    /* A report has reached a dispatcher. NULL: not needed; nodes then send none. */
    void (*on_report)(struct world *world, uint32_t dispatcher, const struct report *report);
    void (*on_token)(struct world *world, uint32_t dispatcher, uint32_t node);
    /* A node's jobs, speed or presence changed: only for those who know everything. */
    void (*on_node)(struct world *world, uint32_t node);
    bool extras; /* nodes send heartbeats out of turn */
};

extern const struct sim_policy sim_policies[];
extern const uint32_t sim_policy_count;

/* NULL: none of that name. */
const struct sim_policy *sim_policy_find(const char *name);
