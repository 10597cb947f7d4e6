#include "tools/sim/product.h"

#include <stdlib.h>

#include "core/base/check.h"
#include "core/policy/policy.h"
#include "tools/sim/world_memory.h"

#define SERVICE_ID 1u

struct dispatcher {
    struct pick_state picks;
    struct finish_time finish;
    struct node_values *values;
    struct finish_track *tracks;
    uint64_t *reported_ns; /* by node: when its newest report was made */
    float *loads; /* by node, as reported */
    double load_sum; /* of those that have reported */
    uint32_t load_count;
};

struct product {
    enum policy policy;
    struct snapshot *snapshot;
    uint32_t dispatcher_count;
    struct dispatcher *dispatchers;
};

static struct snapshot *snapshot_of(const struct world *world)
{
    uint32_t count = world->scenario->nodes;
    struct snapshot_offer *offers = sim_allocate(count, sizeof(*offers));
    for (uint32_t i = 0; i < count; i++)
        offers[i] = (struct snapshot_offer){.service_id = SERVICE_ID, .slot = i};
    struct snapshot *snapshot;
    CHECK(snapshot_new(count, offers, count, &snapshot) == 0);
    free(offers);
    return snapshot;
}

static uint16_t dispatcher_flag(const struct world *world, uint32_t node)
{
    return world->nodes[node].dispatcher ? NODE_VALUE_DISPATCHER : 0;
}

static void dispatcher_prepare(struct world *world, struct dispatcher *dispatcher)
{
    uint32_t nodes = world->scenario->nodes;
    pick_state_init(&dispatcher->picks, random_next(&world->policy_random), 1.5f);
    dispatcher->picks.finish = &dispatcher->finish;
    struct idle_tokens *tokens;
    CHECK(idle_tokens_new(&tokens) == 0);
    finish_time_init(&dispatcher->finish, tokens);
    dispatcher->finish.share.max = world->scenario->share_max;
    atomic_store_explicit(&dispatcher->finish.dispatchers, world->scenario->dispatchers, memory_order_relaxed);
    dispatcher->values = aligned_alloc(CACHE_LINE_BYTES, nodes * sizeof(*dispatcher->values));
    CHECK(dispatcher->values != NULL);
    for (uint32_t i = 0; i < nodes; i++)
        dispatcher->values[i] = (struct node_values){.below_mask = 1, .flags = dispatcher_flag(world, i)};
    dispatcher->tracks = sim_allocate(nodes, sizeof(*dispatcher->tracks));
    dispatcher->reported_ns = sim_allocate(nodes, sizeof(*dispatcher->reported_ns));
    dispatcher->loads = sim_allocate(nodes, sizeof(*dispatcher->loads));
}

static void *product_open(struct world *world, enum policy policy)
{
    struct product *product = sim_allocate(1, sizeof(*product));
    product->policy = policy;
    product->snapshot = snapshot_of(world);
    product->dispatcher_count = world->scenario->dispatchers;
    product->dispatchers = sim_allocate(product->dispatcher_count, sizeof(*product->dispatchers));
    for (uint32_t i = 0; i < product->dispatcher_count; i++)
        dispatcher_prepare(world, &product->dispatchers[i]);
    return product;
}

void *product_open_finish_time(struct world *world)
{
    return product_open(world, POLICY_FINISH_TIME);
}

void *product_open_two_choices(struct world *world)
{
    return product_open(world, POLICY_TWO_CHOICES);
}

void *product_open_round_robin(struct world *world)
{
    return product_open(world, POLICY_ROUND_ROBIN);
}

void *product_open_random(struct world *world)
{
    return product_open(world, POLICY_RANDOM);
}

void *product_open_below_average(struct world *world)
{
    return product_open(world, POLICY_BELOW_AVERAGE);
}

void product_close(void *state)
{
    struct product *product = state;
    for (uint32_t i = 0; i < product->dispatcher_count; i++) {
        struct dispatcher *dispatcher = &product->dispatchers[i];
        idle_tokens_free(dispatcher->finish.tokens);
        free(dispatcher->values);
        free(dispatcher->tracks);
        free(dispatcher->reported_ns);
        free(dispatcher->loads);
    }
    free(product->dispatchers);
    snapshot_free(product->snapshot);
    free(product);
}

uint32_t product_pick(struct world *world, uint32_t index)
{
    struct product *product = world->state;
    struct dispatcher *dispatcher = &product->dispatchers[index];
    dispatcher->picks.now_ns = world->now_ns;
    struct pick_item item = {.service_id = SERVICE_ID};
    policy_pick_batch(product->policy, &dispatcher->picks, product->snapshot, dispatcher->values, &item, 1);
    return item.result < 0 ? SIM_NODE_NONE : (uint32_t)item.result;
}

/* What rm does with loads: who is below the average of all (R3). */
static uint32_t below_mask(struct dispatcher *dispatcher, const struct report *report)
{
    if (dispatcher->reported_ns[report->node] == 0)
        dispatcher->load_count++;
    dispatcher->load_sum += (double)report->load_index - (double)dispatcher->loads[report->node];
    dispatcher->loads[report->node] = report->load_index;
    double average = dispatcher->load_sum / dispatcher->load_count;
    return (double)report->load_index < average + 1e-9;
}

void product_on_report(struct world *world, uint32_t index, const struct report *report)
{
    struct product *product = world->state;
    struct dispatcher *dispatcher = &product->dispatchers[index];
    if (report->at_ns <= dispatcher->reported_ns[report->node])
        return;
    struct node_values *values = &dispatcher->values[report->node];
    struct node_report state = {
        .flags = dispatcher_flag(world, report->node) | (report->up ? 0 : NODE_VALUE_DRAIN),
        .below_mask = below_mask(dispatcher, report),
        .load_index = report->load_index,
        .load_per_job = report->load_per_job,
    };
    dispatcher->reported_ns[report->node] = report->at_ns;
    node_values_apply(values, &state);
    if (product->policy != POLICY_FINISH_TIME)
        return;
    struct finish_report finish = {
        .boot_id = 1,
        .age_ns = world->now_ns - report->at_ns,
        .slots = world->scenario->slots,
        .received = report->received[index],
        .echoes = true,
        .work_s = report->work_s,
        .queue_factor = world->nodes[report->node].dispatcher ? 1.5f : 1,
        .kind = SERVICE_ID,
        .service_count = 1,
        .job_s = {report->rate > 0 ? (float)world->scenario->slots / report->rate : 0},
        .jobs = report->jobs,
    };
    if (finish_time_report(&dispatcher->finish, values, &dispatcher->tracks[report->node], &finish, world->now_ns))
        idle_tokens_push(dispatcher->finish.tokens, SERVICE_ID, report->node, 0, 0);
}

void product_on_token(struct world *world, uint32_t index, uint32_t node)
{
    struct product *product = world->state;
    struct dispatcher *dispatcher = &product->dispatchers[index];
    if (finish_time_token(&dispatcher->values[node], &dispatcher->tracks[node], world->now_ns))
        idle_tokens_push(dispatcher->finish.tokens, SERVICE_ID, node, 0, 0);
}
