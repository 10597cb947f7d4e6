/* Policies of the literature that decide on reported queues and nothing else, or as little else as they say. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "tools/sim/references.h"
#include "tools/sim/world_memory.h"

enum stale_rule {
    STALE_OWN, /* two choices, own picks since the report counting for all dispatchers' */
    STALE_TWO, /* two choices */
    STALE_INTERPRETATION, /* Dahlin 2000, "basic LI" */
    STALE_WEIGHTED, /* design B */
    STALE_LEAST,
};

struct stale_node {
    uint64_t at_ns; /* of its newest report; 0: none yet */
    uint32_t jobs; /* as reported */
    uint32_t picks; /* own, since then */
    double weight; /* of design B: spare capacity, its share of all that could be, 0 … 1 */
    bool up;
};

struct stale_dispatcher {
    struct stale_node *nodes;
    double *share; /* cumulative, for load interpretation */
    uint64_t share_ns; /* when it was computed */
};

struct stale {
    enum stale_rule rule;
    uint32_t dispatcher_count;
    struct stale_dispatcher *dispatchers;
    uint32_t *counts; /* work space of the interpretation: nodes by queue length */
};

#define QUEUES_MAX 4096u /* longer ones count as this */
/* Design B adds up what each resource has to spare. The CPU goes with the load; of the memory half is in use, whatever comes; what disks and
 * network cards can do is not known, so these are left out, as the product does. */
#define MEMORY_SPARE 0.5
/* What was reported, and how much has come since, is looked at anew so often, and not for each pick. */
#define SHARES_NS (20 * NS_PER_MS)

static void *stale_open(struct world *world, enum stale_rule rule)
{
    struct stale *stale = sim_allocate(1, sizeof(*stale));
    stale->rule = rule;
    stale->counts = sim_allocate(QUEUES_MAX + 1, sizeof(*stale->counts));
    stale->dispatcher_count = world->scenario->dispatchers;
    stale->dispatchers = sim_allocate(stale->dispatcher_count, sizeof(*stale->dispatchers));
    for (uint32_t i = 0; i < stale->dispatcher_count; i++) {
        struct stale_dispatcher *dispatcher = &stale->dispatchers[i];
        dispatcher->nodes = sim_allocate(world->scenario->nodes, sizeof(*dispatcher->nodes));
        dispatcher->share = sim_allocate(world->scenario->nodes, sizeof(*dispatcher->share));
        for (uint32_t k = 0; k < world->scenario->nodes; k++)
            dispatcher->nodes[k] = (struct stale_node){.weight = 1, .up = true};
    }
    return stale;
}

void *stale_open_own(struct world *world)
{
    return stale_open(world, STALE_OWN);
}

void *stale_open_two(struct world *world)
{
    return stale_open(world, STALE_TWO);
}

void *stale_open_interpretation(struct world *world)
{
    return stale_open(world, STALE_INTERPRETATION);
}

void *stale_open_weighted(struct world *world)
{
    return stale_open(world, STALE_WEIGHTED);
}

void *stale_open_least(struct world *world)
{
    return stale_open(world, STALE_LEAST);
}

void stale_close(void *state)
{
    struct stale *stale = state;
    for (uint32_t i = 0; i < stale->dispatcher_count; i++) {
        free(stale->dispatchers[i].nodes);
        free(stale->dispatchers[i].share);
    }
    free(stale->dispatchers);
    free(stale->counts);
    free(stale);
}

void stale_on_report(struct world *world, uint32_t index, const struct report *report)
{
    struct stale *stale = world->state;
    struct stale_dispatcher *dispatcher = &stale->dispatchers[index];
    struct stale_node *node = &dispatcher->nodes[report->node];
    if (report->at_ns <= node->at_ns)
        return;
    double weight = (1 - (double)report->busy + MEMORY_SPARE) / (1 + MEMORY_SPARE);
    *node = (struct stale_node){.at_ns = report->at_ns, .jobs = report->jobs, .weight = weight, .up = report->up};
}

static uint32_t any_node(struct world *world, const struct stale_dispatcher *dispatcher)
{
    uint32_t nodes = world->scenario->nodes, node = random_below(&world->policy_random, nodes);
    for (uint32_t tries = 0; !dispatcher->nodes[node].up && tries < 16 * nodes; tries++)
        node = random_below(&world->policy_random, nodes);
    return node; /* when it knows none that is up, it sends to one that is not, and the client asks again */
}

static uint32_t queue_of(const struct world *world, const struct stale *stale, const struct stale_node *node)
{
    return node->jobs + (stale->rule == STALE_OWN ? node->picks * world->scenario->dispatchers : 0);
}

static uint32_t pick_two(struct world *world, const struct stale *stale, const struct stale_dispatcher *dispatcher)
{
    uint32_t first = any_node(world, dispatcher), second = any_node(world, dispatcher);
    return queue_of(world, stale, &dispatcher->nodes[second]) < queue_of(world, stale, &dispatcher->nodes[first]) ? second
                                                                                                                  : first;
}

/* Of those that are equal the first, as who goes through a list finds it: so all dispatchers find the same one. */
static uint32_t pick_least(struct world *world, const struct stale_dispatcher *dispatcher)
{
    uint32_t best = SIM_NODE_NONE;
    for (uint32_t i = 0; i < world->scenario->nodes; i++)
        if (dispatcher->nodes[i].up && (best == SIM_NODE_NONE || dispatcher->nodes[i].jobs < dispatcher->nodes[best].jobs))
            best = i;
    return best == SIM_NODE_NONE ? any_node(world, dispatcher) : best;
}

static uint32_t pick_weighted(struct world *world, const struct stale_dispatcher *dispatcher)
{
    for (;;) {
        uint32_t node = any_node(world, dispatcher);
        if (random_unit(&world->policy_random) < dispatcher->nodes[node].weight)
            return node;
    }
}

/* What has come since the reports, on average, fills the shortest queues up to a level; each node's share is what it lacks. */
static void shares_compute(struct world *world, struct stale *stale, struct stale_dispatcher *dispatcher)
{
    uint32_t nodes = world->scenario->nodes, *counts = stale->counts;
    double age_ns = 0;
    for (uint32_t i = 0; i <= QUEUES_MAX; i++)
        counts[i] = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t jobs = dispatcher->nodes[i].jobs;
        counts[jobs < QUEUES_MAX ? jobs : QUEUES_MAX]++;
        age_ns += (double)(world->now_ns - dispatcher->nodes[i].at_ns);
    }
    double come = world->scenario->arrivals.rate * age_ns / nodes, level = 0;
    for (uint32_t below = 0; level < QUEUES_MAX && come > 0; level++) {
        below += counts[(uint32_t)level];
        if (below > 0 && come <= below) {
            level += come / below;
            break;
        }
        come -= below;
    }
    double sum = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        double lack = level - dispatcher->nodes[i].jobs;
        if (dispatcher->nodes[i].up && lack > 0)
            sum += lack;
        dispatcher->share[i] = sum;
    }
    dispatcher->share_ns = world->now_ns;
}

static uint32_t pick_interpretation(struct world *world, struct stale *stale, struct stale_dispatcher *dispatcher)
{
    if (dispatcher->share_ns == 0 || world->now_ns - dispatcher->share_ns >= SHARES_NS)
        shares_compute(world, stale, dispatcher);
    uint32_t nodes = world->scenario->nodes;
    double total = dispatcher->share[nodes - 1];
    if (!(total > 0))
        return any_node(world, dispatcher);
    double lot = random_unit(&world->policy_random) * total;
    uint32_t low = 0, high = nodes - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (dispatcher->share[middle] > lot)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint32_t stale_pick(struct world *world, uint32_t index)
{
    struct stale *stale = world->state;
    struct stale_dispatcher *dispatcher = &stale->dispatchers[index];
    uint32_t node = 0;
    switch (stale->rule) {
    case STALE_OWN:
    case STALE_TWO: node = pick_two(world, stale, dispatcher); break;
    case STALE_INTERPRETATION: node = pick_interpretation(world, stale, dispatcher); break;
    case STALE_WEIGHTED: node = pick_weighted(world, dispatcher); break;
    case STALE_LEAST: node = pick_least(world, dispatcher); break;
    }
    dispatcher->nodes[node].picks++;
    return node;
}
