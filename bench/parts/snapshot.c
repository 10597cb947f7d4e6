/* What picks cost while the directory changes: values updated in place, and snapshots swapped, by another core. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/parts/micro.h"
#include "bench/parts/nodes.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "dispatcher/publication.h"

#define NODES 100000u
#define TICK_NS (5 * NS_PER_MS) /* the control thread's work comes in bursts, as rm sends it */
#define SWAPS_PER_S 10u
#define SAMPLES_LONGER 20u /* than the other groups': several ticks and swaps in each */

enum change {
    CHANGE_NOTHING,
    CHANGE_VALUES, /* every node once a second */
    CHANGE_MEMBERS, /* SWAPS_PER_S new snapshots, built beside */
    CHANGES,
};

static const char *const change_names[CHANGES] = {
    [CHANGE_NOTHING] = "a pick, 100000 nodes, nothing changes",
    [CHANGE_VALUES] = "a pick, each node reports once a second",
    [CHANGE_MEMBERS] = "a pick, 10 new snapshots a second",
};

struct snapshot_bench {
    struct micro_nodes nodes;
    struct publication publication;
    struct pick_state state;
    int cpu; /* of the control thread */
};

struct change_bench {
    struct snapshot_bench *shared;
    enum change change;
    _Atomic bool stopped;
    int error; /* of the control thread */
};

/* The ticks' share of a second's reports. */
static void values_change(struct snapshot_bench *shared, uint64_t tick)
{
    uint32_t per_tick = (uint32_t)(NODES * TICK_NS / NS_PER_S);
    for (uint32_t i = 0; i < per_tick; i++) {
        uint32_t slot = (uint32_t)((tick * per_tick + i) % NODES);
        struct node_report report = micro_node_report(slot, tick);
        node_values_apply(&shared->nodes.values[slot], &report);
    }
}

static int members_change(struct snapshot_bench *shared)
{
    struct view *old = shared->nodes.view;
    struct view *next;
    int error = micro_nodes_view(&shared->nodes, &next);
    if (error < 0)
        return error;
    publication_replace(&shared->publication, next);
    shared->nodes.view = next;
    publication_retire(&shared->publication, &old->retired, view_release);
    publication_collect(&shared->publication);
    return 0;
}

static void *change_run(void *argument)
{
    struct change_bench *bench = argument;
    const struct timespec tick_time = {.tv_nsec = (long)TICK_NS};
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET((size_t)bench->shared->cpu, &own);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
    for (uint64_t tick = 0; !atomic_load(&bench->stopped) && bench->error == 0; tick++) {
        if (bench->change == CHANGE_VALUES)
            values_change(bench->shared, tick);
        else if (tick % (NS_PER_S / SWAPS_PER_S / TICK_NS) == 0)
            bench->error = members_change(bench->shared);
        nanosleep(&tick_time, NULL);
    }
    return NULL;
}

static bool picks_run(struct snapshot_bench *shared, uint64_t operations)
{
    struct pick_item items[PICK_BATCH_MAX];
    int failed = 0;
    for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
        items[i].service_id = micro_service_id(i % MICRO_SERVICES);
    for (uint64_t done = 0; done < operations; done += PICK_BATCH_MAX) {
        const struct view *view = publication_enter(&shared->publication, 0);
        policy_pick_batch(POLICY_FINISH_TIME, &shared->state, view->snapshot, shared->nodes.values, items, PICK_BATCH_MAX);
        publication_leave(&shared->publication, 0);
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            failed |= items[i].result;
    }
    return failed >= 0;
}

static int changing_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct change_bench *bench = ctx;
    pthread_t thread;
    bool changing = bench->change != CHANGE_NOTHING;
    atomic_init(&bench->stopped, false);
    bench->error = 0;
    int error = changing ? -pthread_create(&thread, NULL, change_run, bench) : 0;
    if (error < 0)
        return error;
    uint64_t begin_ns = clock_monotonic_ns();
    bool sound = picks_run(bench->shared, operations);
    *ret_ns = clock_monotonic_ns() - begin_ns;
    atomic_store(&bench->stopped, true);
    if (changing)
        pthread_join(thread, NULL);
    return bench->error < 0 ? bench->error : sound ? 0 : -EBADMSG;
}

static int apply_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct snapshot_bench *shared = ctx;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++) {
        struct node_report report = {.load_index = (float)(i % 16)};
        node_values_apply(&shared->nodes.values[i * 7919 % NODES], &report);
    }
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return 0;
}

static int snapshot_measure(struct micro *micro, struct snapshot_bench *shared)
{
    struct change_bench benches[CHANGES];
    struct micro_subject subjects[CHANGES + 1] = {
        {.name = "a report into the values, 100000 nodes", .run = apply_run, .ctx = shared, .against = MICRO_NONE}};
    uint32_t count = 1;
    for (enum change change = 0; change < (micro->cpu_count < 2 ? CHANGE_VALUES : CHANGES); change++) {
        benches[change] = (struct change_bench){.shared = shared, .change = change};
        subjects[count] = (struct micro_subject){
            .run = changing_run, .ctx = &benches[change], .against = change == CHANGE_NOTHING ? MICRO_NONE : 1};
        (void)snprintf(subjects[count++].name, MICRO_NAME_BYTES, "%s", change_names[change]);
    }
    return micro_measure(micro, subjects, count);
}

int micro_snapshot(struct micro *micro)
{
    struct snapshot_bench *shared = memory_new_aligned(sizeof(*shared));
    if (!shared || micro_nodes_init(&shared->nodes, NODES) < 0) {
        free(shared);
        return micro_fail(micro, -ENOMEM, "out of memory");
    }
    shared->cpu = micro->cpus[1];
    pick_state_init(&shared->state, 1, 1.5f);
    shared->state.finish = &shared->nodes.finish;
    publication_init(&shared->publication, 1, shared->nodes.view);
    micro->sample_ns *= SAMPLES_LONGER;
    int error = snapshot_measure(micro, shared);
    micro->sample_ns /= SAMPLES_LONGER;
    publication_done(&shared->publication);
    micro_nodes_done(&shared->nodes);
    free(shared);
    return error;
}
