/* Picks of each policy, one by one and in batches as the dispatcher takes them. */
#include <errno.h>
#include <stdio.h>

#include "bench/parts/micro.h"
#include "bench/parts/nodes.h"
#include "core/base/clock.h"

struct pick_bench {
    const struct micro_nodes *nodes;
    enum policy policy;
    struct pick_state state;
    uint64_t service_ids[MICRO_SERVICES];
};

static int pick_alone(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct pick_bench *bench = ctx;
    const struct snapshot *snapshot = bench->nodes->view->snapshot;
    uint32_t slots[PICKS_MAX];
    struct pick_query query = {.count = 1};
    bool failed = false;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        query.service_id = bench->service_ids[i % MICRO_SERVICES];
        failed |= policy_pick(bench->policy, &bench->state, snapshot, bench->nodes->values, &query, slots) != 1;
        micro_keep(slots[0]);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return failed ? -EBADMSG : 0;
}

static int pick_batches(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct pick_bench *bench = ctx;
    const struct snapshot *snapshot = bench->nodes->view->snapshot;
    struct pick_item items[PICK_BATCH_MAX];
    int failed = 0;
    for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
        items[i].service_id = bench->service_ids[i % MICRO_SERVICES];
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t done = 0; done < operations; done += PICK_BATCH_MAX) {
        policy_pick_batch(bench->policy, &bench->state, snapshot, bench->nodes->values, items, PICK_BATCH_MAX);
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            failed |= items[i].result;
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return failed < 0 ? -EBADMSG : 0;
}

static int policy_measure(struct micro *micro, struct micro_nodes *nodes, enum policy policy)
{
    struct pick_bench bench = {.nodes = nodes, .policy = policy};
    struct micro_subject subjects[] = {
        {.run = pick_alone, .ctx = &bench, .against = MICRO_NONE},
        {.run = pick_batches, .ctx = &bench, .against = 0},
    };
    pick_state_init(&bench.state, 1, 1.5f);
    bench.state.finish = &nodes->finish;
    for (uint32_t i = 0; i < MICRO_SERVICES; i++)
        bench.service_ids[i] = micro_service_id(i);
    const char *name = policy_rows[policy].name;
    (void)snprintf(subjects[0].name, MICRO_NAME_BYTES, "%s of %u nodes", name, nodes->count);
    (void)snprintf(subjects[1].name, MICRO_NAME_BYTES, "%s of %u nodes, in batches", name, nodes->count);
    return micro_measure(micro, subjects, ARRAY_COUNT(subjects));
}

int micro_pick(struct micro *micro)
{
    int error = 0;
    for (uint32_t i = 0; i < MICRO_NODE_COUNTS && error == 0; i++) {
        struct micro_nodes nodes;
        error = micro_nodes_init(&nodes, micro_node_counts[i]);
        if (error < 0)
            return micro_fail(micro, error, "no memory for %u nodes", micro_node_counts[i]);
        for (enum policy policy = 0; policy < POLICIES && error == 0; policy++)
            error = policy_measure(micro, &nodes, policy);
        micro_nodes_done(&nodes);
    }
    return error;
}
