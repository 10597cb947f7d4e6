/* Prequal (Wydrowski et al. 2024), its probes answered at once: each dispatcher keeps a pool of probe results; a pick takes the fastest
 * of those whose jobs in flight are below the pool's quantile, else the one with the fewest. */
#include <stdlib.h>

#include "tools/sim/references.h"
#include "tools/sim/world_memory.h"

#define POOL 16u
#define PROBES_PER_PICK 3u
#define HOT_QUANTILE 0.84

struct probe {
    uint32_t node;
    uint32_t jobs;
    double latency; /* expected, in mean service times */
    uint64_t at_ns;
};

struct pool {
    struct probe probes[POOL + PROBES_PER_PICK];
    uint32_t count;
};

struct prequal {
    struct pool *pools;
};

void *prequal_open(struct world *world)
{
    struct prequal *prequal = sim_allocate(1, sizeof(*prequal));
    prequal->pools = sim_allocate(world->scenario->dispatchers, sizeof(*prequal->pools));
    return prequal;
}

void prequal_close(void *state)
{
    struct prequal *prequal = state;
    free(prequal->pools);
    free(prequal);
}

static double latency_of(const struct world *world, uint32_t node)
{
    const struct sim_node *there = &world->nodes[node];
    uint32_t slots = world->scenario->slots, jobs = sim_node_jobs(there);
    return ((jobs < slots ? 0 : (double)(jobs - slots + 1) / slots) + 1) / there->speed;
}

static void probe_some(struct world *world, struct pool *pool)
{
    for (uint32_t i = 0; i < PROBES_PER_PICK; i++) {
        uint32_t node = random_below(&world->policy_random, world->scenario->nodes);
        if (!world->nodes[node].up)
            continue;
        pool->probes[pool->count++] = (struct probe){
            .node = node, .jobs = sim_node_jobs(&world->nodes[node]), .latency = latency_of(world, node), .at_ns = world->now_ns};
        if (world->warm_ns != 0)
            world->messages++;
    }
    while (pool->count > POOL) {
        uint32_t oldest = 0;
        for (uint32_t i = 1; i < pool->count; i++)
            if (pool->probes[i].at_ns < pool->probes[oldest].at_ns)
                oldest = i;
        pool->probes[oldest] = pool->probes[--pool->count];
    }
}

/* Jobs in flight from which on a probe is hot. */
static uint32_t hot_limit(const struct pool *pool)
{
    uint32_t allowed = (uint32_t)((1 - HOT_QUANTILE) * pool->count);
    for (uint32_t limit = 0;; limit++) {
        uint32_t above = 0;
        for (uint32_t i = 0; i < pool->count; i++)
            above += pool->probes[i].jobs > limit;
        if (above <= allowed)
            return limit;
    }
}

static bool is_better(const struct probe *a, const struct probe *b, uint32_t limit)
{
    bool a_hot = a->jobs > limit, b_hot = b->jobs > limit;
    if (a_hot != b_hot)
        return b_hot;
    return a_hot ? a->jobs < b->jobs : a->latency < b->latency;
}

uint32_t prequal_pick(struct world *world, uint32_t dispatcher)
{
    struct prequal *prequal = world->state;
    struct pool *pool = &prequal->pools[dispatcher];
    do
        probe_some(world, pool);
    while (pool->count == 0);
    uint32_t limit = hot_limit(pool), best = 0, worst = 0;
    for (uint32_t i = 1; i < pool->count; i++) {
        if (is_better(&pool->probes[i], &pool->probes[best], limit))
            best = i;
        if (is_better(&pool->probes[worst], &pool->probes[i], limit))
            worst = i;
    }
    uint32_t node = pool->probes[best].node;
    /* What was used is gone; the worst goes too, else bad news would fill the pool. */
    uint32_t high = best > worst ? best : worst, low = best > worst ? worst : best;
    pool->probes[high] = pool->probes[--pool->count];
    if (low != high)
        pool->probes[low] = pool->probes[--pool->count];
    return node;
}
