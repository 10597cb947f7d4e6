#include "tools/sim/world_memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/exit_code.h"

static _Noreturn void die_of_memory(void)
{
    fputs("usher-sim: out of memory: simulate fewer --nodes or --jobs\n", stderr);
    exit(EXIT_CODE_FAILED);
}

void *sim_allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);
    if (memory == NULL)
        die_of_memory();
    return memory;
}

void *sim_resize(void *memory, size_t count, size_t bytes)
{
    void *resized = reallocarray(memory, count, bytes);
    if (resized == NULL)
        die_of_memory();
    return resized;
}

static void node_prepare(struct world *world, uint32_t index)
{
    const struct scenario *scenario = world->scenario;
    struct sim_node *node = &world->nodes[index];
    double speed = scenario->speeds[index % scenario->speed_count];
    bool dispatcher = scenario->dispatchers_work && index < scenario->dispatchers;
    *node = (struct sim_node){
        .base_speed = speed,
        .speed = speed,
        .up = true,
        .dispatcher = dispatcher,
        .head = JOB_NONE,
        .tail = JOB_NONE,
        .ended_dispatcher = UINT32_MAX,
        .slots = &world->slots[(size_t)index * scenario->slots],
    };
    for (uint32_t i = 0; i < scenario->slots; i++)
        node->slots[i].job = JOB_NONE;
    /* The product's defaults, without what a simulation does not have: memory and disks. */
    struct load_config load = {.weights = {[LOAD_CPU] = 0.3f, [LOAD_QUEUE] = 0.5f},
                               .queue_factor = dispatcher ? 1.5f : 1,
                               .slots = scenario->slots,
                               .samples_max = 10};
    if (load_init(&node->load, &load) < 0)
        die_of_memory();
    estimate_init(&node->estimate, scenario->slots, 0);
    double spare = scenario->budget - 1e9 / (double)scenario->heartbeat_ns;
    struct freshness_config freshness = {
        .slots = scenario->slots,
        .per_s = spare > 0 ? spare : 0,
        .tokens = scenario->tokens && scenario->push_ns > 0 && world->policy->on_token != NULL,
        .reports = world->policy->extras && scenario->push_ns > 0,
    };
    freshness_init(&node->freshness, &freshness, 0);
    freshness_share(&node->freshness, scenario->dispatchers, scenario->nodes, 0);
}

struct world *world_new(const struct scenario *scenario, const struct sim_policy *policy)
{
    struct world *world = sim_allocate(1, sizeof(*world));
    world->scenario = scenario;
    world->up_count = scenario->nodes;
    world->policy = policy;
    world->free_jobs.first = world->free_reports.first = JOB_NONE;
    events_init(&world->events);
    /* Streams of their own: what one of them is used for does not shift the others. */
    struct random_state *const streams[] = {&world->arrival_random, &world->service_random, &world->trouble_random,
                                            &world->network_random, &world->policy_random};
    for (uint32_t i = 0; i < ARRAY_COUNT(streams); i++)
        random_init(streams[i], scenario->seed * ARRAY_COUNT(streams) + i);
    if (times_init(&world->times, scenario->jobs) < 0)
        die_of_memory();
    world->slots = sim_allocate((size_t)scenario->nodes * scenario->slots, sizeof(*world->slots));
    world->nodes = sim_allocate(scenario->nodes, sizeof(*world->nodes));
    world->newest = sim_allocate(scenario->nodes, sizeof(*world->newest));
    for (uint32_t i = 0; i < scenario->nodes; i++)
        node_prepare(world, i);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->scenario->nodes; i++)
        load_done(&world->nodes[i].load);
    events_done(&world->events);
    times_done(&world->times);
    free(world->newest);
    free(world->nodes);
    free(world->slots);
    free(world->jobs);
    free(world->free_jobs.next);
    free(world->reports);
    free(world->free_reports.next);
    free(world);
}

/* Twice as many when all are taken; those that are new are free, the lowest first. True: there are more than before. */
static bool free_list_grow(struct free_list *list)
{
    if (list->first != JOB_NONE)
        return false;
    CHECK(list->capacity < JOB_NONE / 2);
    uint32_t before = list->capacity;
    list->capacity = before ? before * 2 : 1024;
    list->next = sim_resize(list->next, list->capacity, sizeof(*list->next));
    for (uint32_t i = before; i < list->capacity; i++)
        list->next[i] = i + 1 < list->capacity ? i + 1 : JOB_NONE;
    list->first = before;
    return true;
}

static uint32_t free_list_take(struct free_list *list)
{
    uint32_t index = list->first;
    list->first = list->next[index];
    return index;
}

static void free_list_give(struct free_list *list, uint32_t index)
{
    list->next[index] = list->first;
    list->first = index;
}

uint32_t world_job_new(struct world *world)
{
    if (free_list_grow(&world->free_jobs))
        world->jobs = sim_resize(world->jobs, world->free_jobs.capacity, sizeof(*world->jobs));
    return free_list_take(&world->free_jobs);
}

void world_job_free(struct world *world, uint32_t job)
{
    free_list_give(&world->free_jobs, job);
}

uint32_t world_report_new(struct world *world)
{
    if (free_list_grow(&world->free_reports))
        world->reports = sim_resize(world->reports, world->free_reports.capacity, sizeof(*world->reports));
    return free_list_take(&world->free_reports);
}

void world_report_free(struct world *world, uint32_t report)
{
    free_list_give(&world->free_reports, report);
}
