/* Join-idle-queue (Lu et al. 2011) with tokens that arrive at once: a node that has a free slot gives a token to a dispatcher at random;
 * a dispatcher without tokens picks at random. */
#include <stdlib.h>

#include "tools/sim/references.h"
#include "tools/sim/world_memory.h"

struct jiq_dispatcher {
    uint32_t *nodes; /* a ring of scenario->nodes cells: each node has one token at most */
    uint32_t first;
    uint32_t count;
};

struct jiq {
    struct jiq_dispatcher *dispatchers;
    uint32_t dispatcher_count;
    bool *token_out; /* by node */
    uint32_t *jobs; /* by node, before the last change */
};

static void give_token(struct world *world, struct jiq *jiq, uint32_t node)
{
    struct jiq_dispatcher *to = &jiq->dispatchers[random_below(&world->policy_random, jiq->dispatcher_count)];
    to->nodes[(to->first + to->count++) % world->scenario->nodes] = node;
    jiq->token_out[node] = true;
}

void *jiq_open(struct world *world)
{
    struct jiq *jiq = sim_allocate(1, sizeof(*jiq));
    uint32_t nodes = world->scenario->nodes;
    jiq->dispatcher_count = world->scenario->dispatchers;
    jiq->dispatchers = sim_allocate(jiq->dispatcher_count, sizeof(*jiq->dispatchers));
    jiq->token_out = sim_allocate(nodes, sizeof(*jiq->token_out));
    jiq->jobs = sim_allocate(nodes, sizeof(*jiq->jobs));
    for (uint32_t i = 0; i < jiq->dispatcher_count; i++)
        jiq->dispatchers[i].nodes = sim_allocate(nodes, sizeof(uint32_t));
    for (uint32_t i = 0; i < nodes; i++)
        give_token(world, jiq, i);
    return jiq;
}

void jiq_close(void *state)
{
    struct jiq *jiq = state;
    for (uint32_t i = 0; i < jiq->dispatcher_count; i++)
        free(jiq->dispatchers[i].nodes);
    free(jiq->dispatchers);
    free(jiq->token_out);
    free(jiq->jobs);
    free(jiq);
}

void jiq_on_node(struct world *world, uint32_t node)
{
    struct jiq *jiq = world->state;
    const struct sim_node *there = &world->nodes[node];
    uint32_t jobs = sim_node_jobs(there), before = jiq->jobs[node];
    jiq->jobs[node] = jobs;
    if (there->up && jobs < before && jobs < world->scenario->slots && !jiq->token_out[node])
        give_token(world, jiq, node);
}

uint32_t jiq_pick(struct world *world, uint32_t index)
{
    struct jiq *jiq = world->state;
    struct jiq_dispatcher *dispatcher = &jiq->dispatchers[index];
    while (dispatcher->count > 0) {
        uint32_t node = dispatcher->nodes[dispatcher->first];
        dispatcher->first = (dispatcher->first + 1) % world->scenario->nodes;
        dispatcher->count--;
        jiq->token_out[node] = false;
        if (world->nodes[node].up)
            return node;
    }
    uint32_t node;
    do
        node = random_below(&world->policy_random, world->scenario->nodes);
    while (!world->nodes[node].up);
    return node;
}
