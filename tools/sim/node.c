#include "tools/sim/node.h"

#include "core/base/check.h"
#include "core/base/clock.h"

#define SERVICE 0 /* all jobs are of one */

static void changed(struct world *world, uint32_t node)
{
    if (world->policy->on_node != NULL)
        world->policy->on_node(world, node);
    if (world->policy->on_report != NULL && world->nodes[node].up)
        world_node_tells(world, node);
}

static double job_s(const struct sim_node *here)
{
    return (double)estimate_job_s(&here->estimate, SERVICE);
}

static void plan_end(struct world *world, uint32_t node, uint32_t slot)
{
    struct running *running = &world->nodes[node].slots[slot];
    double ns = running->left_ns / world->nodes[node].speed;
    events_add(&world->events, world->now_ns + (uint64_t)ns + 1, EVENT_JOB_ENDS, node,
               (uint64_t)slot << 32 | running->generation);
}

static void start_job(struct world *world, uint32_t node, uint32_t slot, uint32_t job)
{
    struct sim_node *here = &world->nodes[node];
    struct running *running = &here->slots[slot];
    running->job = job;
    running->generation++;
    running->since_ns = running->started_ns = world->now_ns;
    running->left_ns = world->jobs[job].work_ns;
    here->running++;
    plan_end(world, node, slot);
}

static uint32_t free_slot(const struct world *world, const struct sim_node *here)
{
    for (uint32_t i = 0; i < world->scenario->slots; i++)
        if (here->slots[i].job == JOB_NONE)
            return i;
    CHECK(false);
    return 0;
}

void sim_node_take_job(struct world *world, uint32_t node, uint32_t job)
{
    struct sim_node *here = &world->nodes[node];
    if (!here->up) {
        world_job_lost(world, job);
        return;
    }
    uint32_t dispatcher = world->jobs[job].dispatcher;
    here->received[dispatcher]++;
    estimate_job_accepted(&here->estimate, SERVICE, world->now_ns);
    if (here->running < world->scenario->slots) {
        start_job(world, node, free_slot(world, here), job);
    } else {
        world->jobs[job].next = JOB_NONE;
        if (here->head == JOB_NONE)
            here->head = job;
        else
            world->jobs[here->tail].next = job;
        here->tail = job;
        here->queued++;
    }
    freshness_job_came(&here->freshness, sim_node_jobs(here), job_s(here), dispatcher + 1);
    changed(world, node);
}

static void start_next(struct world *world, uint32_t node, uint32_t slot)
{
    struct sim_node *here = &world->nodes[node];
    if (here->head == JOB_NONE)
        return;
    uint32_t job = here->head;
    here->head = world->jobs[job].next;
    here->queued--;
    start_job(world, node, slot, job);
}

void sim_node_end_job(struct world *world, uint32_t node, uint64_t slot_generation)
{
    struct sim_node *here = &world->nodes[node];
    uint32_t slot = (uint32_t)(slot_generation >> 32);
    struct running *running = &here->slots[slot];
    if (running->job == JOB_NONE || running->generation != (uint32_t)slot_generation)
        return;
    uint32_t job = running->job;
    running->job = JOB_NONE;
    here->running--;
    estimate_job_ran(&here->estimate, SERVICE, (float)(world->now_ns - running->started_ns) * 1e-9f, world->now_ns);
    estimate_job_left(&here->estimate, SERVICE, world->now_ns);
    start_next(world, node, slot);
    here->ended_dispatcher = world->jobs[job].dispatcher;
    world_job_ended(world, job);
    freshness_job_left(&here->freshness, sim_node_jobs(here), job_s(here));
    changed(world, node);
}

void sim_node_set_speed(struct world *world, uint32_t node, double speed)
{
    struct sim_node *here = &world->nodes[node];
    CHECK(speed > 0);
    for (uint32_t i = 0; i < world->scenario->slots; i++) {
        struct running *running = &here->slots[i];
        if (running->job == JOB_NONE)
            continue;
        double done_ns = (double)(world->now_ns - running->since_ns) * here->speed;
        running->left_ns = running->left_ns > done_ns ? running->left_ns - done_ns : 0;
        running->since_ns = world->now_ns;
        running->generation++;
    }
    here->speed = speed;
    for (uint32_t i = 0; i < world->scenario->slots; i++)
        if (here->slots[i].job != JOB_NONE)
            plan_end(world, node, i);
    if (world->policy->on_node != NULL)
        world->policy->on_node(world, node);
}

void sim_node_set_up(struct world *world, uint32_t node, bool up)
{
    struct sim_node *here = &world->nodes[node];
    here->up = up;
    if (world->policy->on_node != NULL)
        world->policy->on_node(world, node);
    if (up)
        return;
    uint32_t lost = here->head; /* all jobs as one list */
    for (uint32_t i = 0; i < world->scenario->slots; i++) {
        struct running *running = &here->slots[i];
        if (running->job == JOB_NONE)
            continue;
        world->jobs[running->job].next = lost;
        lost = running->job;
        running->job = JOB_NONE;
        running->generation++;
    }
    here->head = JOB_NONE;
    here->queued = here->running = 0;
    while (estimate_jobs(&here->estimate) > 0)
        estimate_job_left(&here->estimate, SERVICE, world->now_ns);
    freshness_job_left(&here->freshness, 0, job_s(here));
    while (lost != JOB_NONE) {
        uint32_t next = world->jobs[lost].next;
        world_job_lost(world, lost);
        lost = next;
    }
}

void sim_node_sample(struct world *world, uint32_t node)
{
    struct sim_node *here = &world->nodes[node];
    events_add(&world->events, world->now_ns + NODE_SAMPLE_NS, EVENT_SAMPLE, node, 0);
    struct load_sample sample = {.part = {
                                     [LOAD_CPU] = (float)here->running / (float)world->scenario->slots,
                                     [LOAD_QUEUE] = (float)sim_node_jobs(here),
                                 }};
    load_add(&here->load, &sample);
}

void sim_node_report(struct world *world, uint32_t node, struct report *ret_report)
{
    struct sim_node *here = &world->nodes[node];
    estimate_look(&here->estimate, world->now_ns);
    struct load_report load;
    load_read(&here->load, &load);
    struct report report = {
        .node = node,
        .at_ns = world->now_ns,
        .load_index = load.index,
        .load_per_job = load.per_job,
        .busy = load.mean[LOAD_CPU],
        .work_s = estimate_work_s(&here->estimate, SERVICE),
        .rate = estimate_is_guess(&here->estimate, SERVICE) ? 0 : estimate_rate(&here->estimate, SERVICE),
        .jobs = sim_node_jobs(here),
        .up = here->up,
    };
    for (uint32_t i = 0; i < world->scenario->dispatchers; i++)
        report.received[i] = here->received[i];
    *ret_report = report;
}
