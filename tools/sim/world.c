#include "tools/sim/world.h"

#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tools/sim/effort.h"
#include "tools/sim/node.h"
#include "tools/sim/world_memory.h"

/* Whether progress is to be shown is looked at so often. */
#define EVENTS_A_LOOK (UINT64_C(1) << 20)

/* A heartbeat is valid for so many (--heartbeat-valid). */
#define VALID_HEARTBEATS 3

static bool network_loses(struct world *world)
{
    return world->scenario->loss > 0 && random_unit(&world->network_random) < world->scenario->loss;
}

/* rm sends on what has gathered, so often; a token may be quicker than that, and is not said to be. */
static uint64_t travel_ns(struct world *world)
{
    return 1 + (uint64_t)(random_unit(&world->network_random) * (double)world->scenario->push_ns);
}

static void count_message(struct world *world, bool token)
{
    if (world->warm_ns == 0)
        return;
    world->messages++;
    world->tokens += token;
}

static void plan_arrival(struct world *world)
{
    double at = arrivals_next(&world->scenario->arrivals, &world->arrival_random, (double)world->now_ns);
    events_add(&world->events, (uint64_t)at + 1, EVENT_ARRIVAL, 0, 0);
}

/* To the node that the policy picks now. */
/* How long a client needs to find out that it was sent in vain. */
#define ASK_AGAIN_NS UINT64_C(1000000)

static void ask_again(struct world *world, uint32_t job)
{
    events_add(&world->events, world->now_ns + ASK_AGAIN_NS, EVENT_ASKS_AGAIN, 0, job);
}

static void send_job(struct world *world, uint32_t job)
{
    const struct scenario *scenario = world->scenario;
    uint32_t dispatcher = world->jobs[job].dispatcher;
    uint32_t node = world->policy->pick(world, dispatcher);
    if (node == SIM_NODE_NONE) {
        ask_again(world, job);
        return;
    }
    CHECK(node < scenario->nodes);
    if (scenario->delay_ns == 0) {
        sim_node_take_job(world, node, job);
        return;
    }
    world->nodes[node].coming++;
    if (world->policy->on_node != NULL)
        world->policy->on_node(world, node);
    events_add(&world->events, world->now_ns + scenario->delay_ns, EVENT_JOB_REACHES, node, job);
}

static void on_arrival(struct world *world)
{
    const struct scenario *scenario = world->scenario;
    uint32_t dispatcher = random_below(&world->arrival_random, scenario->dispatchers);
    double work_ns = service_draw(&scenario->service, &world->service_random);
    world->arrivals++;
    if (world->arrivals == world->warm_arrivals)
        world->warm_ns = world->now_ns;
    plan_arrival(world);
    if (scenario->unused > 0 && random_unit(&world->network_random) < scenario->unused) {
        /* An answer that is never used, and an ask of the same client's in its place. */
        uint32_t node = world->policy->pick(world, dispatcher);
        CHECK(node < scenario->nodes || node == SIM_NODE_NONE);
    }
    uint32_t job = world_job_new(world);
    world->jobs[job] = (struct job){
        .arrived_ns = world->now_ns,
        .work_ns = work_ns,
        .next = JOB_NONE,
        .dispatcher = (uint16_t)dispatcher,
        .measured = world->warm_ns != 0 && world->measured_left > 0,
    };
    send_job(world, job);
}

static void on_job_reaches(struct world *world, uint32_t node, uint32_t job)
{
    world->nodes[node].coming--;
    sim_node_take_job(world, node, job);
}

void world_job_ended(struct world *world, uint32_t job)
{
    struct job *ended = &world->jobs[job];
    if (ended->measured) {
        times_add(&world->times, (double)(world->now_ns - ended->arrived_ns) / world->scenario->service.mean_ns);
        world->measured_left--;
    }
    world_job_free(world, job);
}

void world_job_lost(struct world *world, uint32_t job)
{
    /* The client notices that the connection is gone, and asks again. */
    ask_again(world, job);
}

/* The report is in rm's hands: to the dispatchers, if it pushes. */
static void relay(struct world *world, const struct report *report)
{
    world->newest[report->node] = *report;
    if (world->scenario->push_ns == 0 || network_loses(world))
        return;
    uint32_t flight = world_report_new(world);
    world->reports[flight] = *report;
    events_add(&world->events, world->now_ns + travel_ns(world), EVENT_PUSHED, flight, 0);
}

static void send_report(struct world *world, uint32_t node)
{
    if (world->policy->on_report == NULL)
        return;
    count_message(world, false);
    struct report report;
    sim_node_report(world, node, &report);
    if (!network_loses(world))
        relay(world, &report);
}

static void on_pushed(struct world *world, uint32_t flight)
{
    for (uint32_t i = 0; i < world->scenario->dispatchers; i++)
        world->policy->on_report(world, i, &world->reports[flight]);
    world_report_free(world, flight);
}

static void on_pull(struct world *world, uint32_t dispatcher)
{
    for (uint32_t i = 0; i < world->scenario->nodes; i++)
        if (world->newest[i].at_ns != 0)
            world->policy->on_report(world, dispatcher, &world->newest[i]);
    events_add(&world->events, world->now_ns + world->scenario->refresh_ns, EVENT_PULL, dispatcher, 0);
}

/* Whose job ended here last: who sends here, and not who has tokens to spare. At first, anybody. */
static uint32_t token_goes_to(struct world *world, const struct sim_node *from)
{
    if (from->ended_dispatcher != UINT32_MAX)
        return from->ended_dispatcher;
    return random_below(&world->network_random, world->scenario->dispatchers);
}

void world_node_tells(struct world *world, uint32_t node)
{
    struct sim_node *from = &world->nodes[node];
    for (;;) {
        uint64_t again_ns;
        uint32_t to = token_goes_to(world, from);
        enum freshness_message message = freshness_take(&from->freshness, to + 1, world->now_ns, &again_ns);
        if (message == FRESHNESS_NOTHING) {
            if (again_ns != UINT64_MAX && again_ns != from->again_ns) {
                from->again_ns = again_ns;
                events_add(&world->events, again_ns, EVENT_EXTRA, node, 0);
            }
            return;
        }
        if (message == FRESHNESS_REPORT) {
            send_report(world, node);
            continue;
        }
        count_message(world, true);
        if (!network_loses(world))
            events_add(&world->events, world->now_ns + travel_ns(world), EVENT_TOKEN, node, to);
    }
}

/* rm takes out who has been silent for too long, and those that have gone stay on its list of changes, whatever gets lost. */
static void expire(struct world *world, uint32_t node)
{
    struct report report = world->newest[node];
    if (report.at_ns == 0)
        return;
    if (report.up && world->now_ns - report.at_ns >= VALID_HEARTBEATS * world->scenario->heartbeat_ns) {
        report.up = false;
        report.at_ns = world->now_ns;
    }
    if (!report.up)
        relay(world, &report);
}

static void on_beat(struct world *world, uint32_t node)
{
    events_add(&world->events, world->now_ns + world->scenario->heartbeat_ns, EVENT_BEAT, node, 0);
    if (world->policy->on_report != NULL)
        expire(world, node);
    if (!world->nodes[node].up)
        return;
    freshness_beat(&world->nodes[node].freshness, world->now_ns);
    send_report(world, node);
    world_node_tells(world, node);
}

static void on_noise(struct world *world, uint32_t node)
{
    const struct scenario_noise *noise = &world->scenario->noise;
    struct sim_node *here = &world->nodes[node];
    here->noisy = !here->noisy;
    sim_node_set_speed(world, node, here->noisy ? here->base_speed / noise->factor : here->base_speed);
    double mean_ns = here->noisy ? noise->period_ns : noise->period_ns * (1 - noise->share) / noise->share;
    double ns = mean_ns * draw_exponential(&world->trouble_random);
    events_add(&world->events, world->now_ns + (uint64_t)ns + 1, EVENT_NOISE, node, 0);
}

static void on_churn(struct world *world, uint32_t node)
{
    struct sim_node *here = &world->nodes[node];
    double mean_ns = here->up ? world->scenario->churn.away_ns : world->scenario->churn.up_ns;
    double ns = mean_ns * draw_exponential(&world->trouble_random);
    events_add(&world->events, world->now_ns + (uint64_t)ns + 1, EVENT_CHURN, node, 0);
    if (here->up && world->up_count == 1)
        return; /* the last one stays */
    world->up_count = here->up ? world->up_count - 1 : world->up_count + 1;
    sim_node_set_up(world, node, !here->up);
    /* A node that leaves says so, and so does one that comes. What is lost of that is made good by the next heartbeat, or by none. */
    send_report(world, node);
}

static void handle(struct world *world, const struct event *event)
{
    switch ((enum event_kind)event->kind) {
    case EVENT_ARRIVAL: on_arrival(world); break;
    case EVENT_ASKS_AGAIN: send_job(world, (uint32_t)event->detail); break;
    case EVENT_JOB_REACHES: on_job_reaches(world, event->subject, (uint32_t)event->detail); break;
    case EVENT_JOB_ENDS: sim_node_end_job(world, event->subject, event->detail); break;
    case EVENT_SAMPLE: sim_node_sample(world, event->subject); break;
    case EVENT_BEAT: on_beat(world, event->subject); break;
    case EVENT_EXTRA:
        if (world->nodes[event->subject].up)
            world_node_tells(world, event->subject);
        break;
    case EVENT_PUSHED: on_pushed(world, event->subject); break;
    case EVENT_PULL: on_pull(world, event->subject); break;
    case EVENT_TOKEN:
        if (world->policy->on_token != NULL)
            world->policy->on_token(world, (uint32_t)event->detail, event->subject);
        break;
    case EVENT_NOISE: on_noise(world, event->subject); break;
    case EVENT_CHURN: on_churn(world, event->subject); break;
    }
}

static uint64_t at_random(struct world *world, uint64_t period_ns)
{
    return (uint64_t)(random_unit(&world->trouble_random) * (double)period_ns) + 1;
}

static void plan_firsts(struct world *world)
{
    const struct scenario *scenario = world->scenario;
    bool reports = world->policy->on_report != NULL;
    plan_arrival(world);
    for (uint32_t i = 0; i < scenario->nodes; i++) {
        /* Drawn under every policy, so that noise and churn come at the same times under all. */
        uint64_t beat_ns = at_random(world, scenario->heartbeat_ns);
        uint64_t sample_ns = at_random(world, NODE_SAMPLE_NS);
        if (reports) {
            events_add(&world->events, beat_ns, EVENT_BEAT, i, 0);
            events_add(&world->events, sample_ns, EVENT_SAMPLE, i, 0);
        }
        if (scenario->noise.share > 0) {
            world->nodes[i].noisy = random_unit(&world->trouble_random) >= scenario->noise.share;
            on_noise(world, i);
        }
        if (scenario->churn.up_ns > 0)
            events_add(&world->events, (uint64_t)(scenario->churn.up_ns * draw_exponential(&world->trouble_random)) + 1,
                       EVENT_CHURN, i, 0);
    }
    uint64_t pull_ns = 0;
    for (uint32_t i = 0; i < scenario->dispatchers; i++) {
        if (i == 0 || !scenario->in_step)
            pull_ns = at_random(world, scenario->refresh_ns ? scenario->refresh_ns : 1);
        if (reports && scenario->refresh_ns)
            events_add(&world->events, pull_ns, EVENT_PULL, i, 0);
    }
}

/* All nodes have joined before the first job comes, and every dispatcher has heard of them. */
static void tell_firsts(struct world *world)
{
    world->now_ns = 1; /* of a report, 0 says that there is none */
    if (world->policy->on_report == NULL)
        return;
    for (uint32_t i = 0; i < world->scenario->nodes; i++) {
        sim_node_report(world, i, &world->newest[i]);
        for (uint32_t k = 0; k < world->scenario->dispatchers; k++)
            world->policy->on_report(world, k, &world->newest[i]);
    }
}

void world_run(const struct scenario *scenario, const struct sim_policy *policy, struct outcome *ret_outcome)
{
    struct world *world = world_new(scenario, policy);
    world->warm_arrivals = (uint64_t)scenario_warm_arrivals(scenario);
    world->measured_left = scenario->jobs;
    world->state = policy->open(world);
    tell_firsts(world);
    plan_firsts(world);
    struct event event;
    struct effort_line line = {0};
    for (uint64_t count = 1; world->measured_left > 0 && events_take(&world->events, &event); count++) {
        world->now_ns = event.at_ns;
        handle(world, &event);
        if (scenario->progress && count % EVENTS_A_LOOK == 0)
            effort_line_show(&line, policy->name, (double)world->arrivals / (double)(world->warm_arrivals + scenario->jobs));
    }
    effort_line_clear(&line);
    times_close(&world->times);
    double span_s = (double)(world->now_ns - world->warm_ns) * 1e-9;
    *ret_outcome = (struct outcome){
        .mean = world->times.sum / (double)world->times.count,
        .p50 = times_quantile(&world->times, 0.5),
        .p99 = times_quantile(&world->times, 0.99),
        .p999 = times_quantile(&world->times, 0.999),
        .messages_per_node_s = (double)world->messages / span_s / scenario->nodes,
        .tokens_per_node_s = (double)world->tokens / span_s / scenario->nodes,
        .simulated_s = span_s,
    };
    policy->close(world->state);
    world_free(world);
}
