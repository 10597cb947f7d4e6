/* The oracle: an indexed heap of all nodes by when a job that came now would be done, ties broken at random. It knows no job's size. */
#include <stdlib.h>

#include "tools/sim/references.h"
#include "tools/sim/world_memory.h"

struct oracle_node {
    double finish_ns; /* expected, from now */
    uint64_t lot;
    uint32_t place; /* in the heap */
};

struct oracle {
    uint32_t *heap;
    uint32_t count;
    struct oracle_node *nodes;
};

static bool is_before(const struct oracle *oracle, uint32_t a, uint32_t b)
{
    const struct oracle_node *left = &oracle->nodes[a], *right = &oracle->nodes[b];
    if (left->finish_ns < right->finish_ns || right->finish_ns < left->finish_ns)
        return left->finish_ns < right->finish_ns;
    return left->lot < right->lot;
}

static void place(struct oracle *oracle, uint32_t at, uint32_t node)
{
    oracle->heap[at] = node;
    oracle->nodes[node].place = at;
}

static void settle(struct oracle *oracle, uint32_t node)
{
    uint32_t at = oracle->nodes[node].place;
    while (at > 0 && is_before(oracle, node, oracle->heap[(at - 1) / 2])) {
        place(oracle, at, oracle->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= oracle->count)
            break;
        if (child + 1 < oracle->count && is_before(oracle, oracle->heap[child + 1], oracle->heap[child]))
            child++;
        if (!is_before(oracle, oracle->heap[child], node))
            break;
        place(oracle, at, oracle->heap[child]);
        at = child;
    }
    place(oracle, at, node);
}

void *oracle_open(struct world *world)
{
    struct oracle *oracle = sim_allocate(1, sizeof(*oracle));
    oracle->count = world->scenario->nodes;
    oracle->heap = sim_allocate(oracle->count, sizeof(*oracle->heap));
    oracle->nodes = sim_allocate(oracle->count, sizeof(*oracle->nodes));
    for (uint32_t i = 0; i < oracle->count; i++)
        place(oracle, i, i);
    world->state = oracle;
    for (uint32_t i = 0; i < oracle->count; i++)
        oracle_on_node(world, i);
    return oracle;
}

void oracle_close(void *state)
{
    struct oracle *oracle = state;
    free(oracle->heap);
    free(oracle->nodes);
    free(oracle);
}

void oracle_on_node(struct world *world, uint32_t node)
{
    struct oracle *oracle = world->state;
    const struct sim_node *there = &world->nodes[node];
    uint32_t slots = world->scenario->slots, jobs = sim_node_jobs_sent(there);
    double turns = jobs < slots ? 0 : (double)(jobs - slots + 1) / slots;
    oracle->nodes[node].finish_ns = there->up ? (turns + 1) / there->speed : 1e300;
    oracle->nodes[node].lot = random_next(&world->policy_random);
    settle(oracle, node);
}

uint32_t oracle_pick(struct world *world, uint32_t dispatcher)
{
    const struct oracle *oracle = world->state;
    (void)dispatcher;
    return oracle->heap[0];
}
