/* finish-time in batches, of services with few nodes and with many: the same picks as one by one. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/policy/policy.h"

enum { FEW = 100, MANY = 20000, SLOTS = FEW + MANY, ROUNDS = 50 };

/* Two of the same. */
struct twin {
    struct finish_time finish;
    struct pick_state state;
    struct node_values values[SLOTS];
};

static struct snapshot *snapshot;

/* Service 1: the few; 2: the many. */
static void snapshot_make(void)
{
    struct snapshot_offer *offers = calloc(SLOTS, sizeof(*offers));
    cr_assert_not_null(offers);
    for (uint32_t i = 0; i < SLOTS; i++)
        offers[i] = (struct snapshot_offer){.service_id = i < FEW ? 1 : 2, .slot = i};
    cr_assert_eq(snapshot_new(SLOTS, offers, SLOTS, &snapshot), 0);
    free(offers);
}

static struct finish_report report_of(float job_s)
{
    return (struct finish_report){
        .boot_id = 1, .slots = 2, .echoes = true, .queue_factor = 1, .service_count = 1, .job_s = {job_s}};
}

static struct twin *twin_new(void)
{
    struct twin *twin = memory_new_aligned(sizeof(*twin));
    cr_assert_not_null(twin);
    finish_time_init(&twin->finish, NULL);
    pick_state_init(&twin->state, 5, 1.5f);
    twin->state.finish = &twin->finish;
    twin->state.now_ns = 1000000000;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct finish_track track = {0};
        struct finish_report report = report_of(0.1f);
        report.jobs = 2 + i % 7;
        report.work_s = (float)report.jobs * 0.1f;
        (void)!finish_time_report(&twin->finish, &twin->values[i], &track, &report, twin->state.now_ns);
    }
    return twin;
}

static void picks_take(struct twin *twin, struct pick_item items[], uint32_t count)
{
    policy_pick_batch(POLICY_FINISH_TIME, &twin->state, snapshot, twin->values, items, count);
}

static void expect_same(uint32_t count, uint32_t every)
{
    struct pick_item items[PICK_BATCH_MAX];
    snapshot_make();
    struct twin *batch = twin_new(), *alone = twin_new();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < count; i++)
            items[i] = (struct pick_item){.service_id = i % every == every - 1 ? 2 : 1};
        picks_take(batch, items, count);
        for (uint32_t i = 0; i < count; i++) {
            struct pick_item item = {.service_id = items[i].service_id};
            picks_take(alone, &item, 1);
            cr_assert_eq(items[i].result, item.result, "round %u, item %u", round, i);
            cr_assert(item.service_id == 1 ? item.result < FEW : item.result >= FEW);
        }
    }
    free(batch);
    free(alone);
    snapshot_free(snapshot);
}

Test(finish_batches, of_few_nodes)
{
    expect_same(PICK_BATCH_MAX, PICK_BATCH_MAX + 1);
}

Test(finish_batches, of_many_nodes)
{
    expect_same(PICK_BATCH_MAX, 1);
}

Test(finish_batches, of_many_and_few_in_one)
{
    expect_same(PICK_BATCH_MAX, 3);
}

Test(finish_batches, of_less_than_a_whole_one)
{
    expect_same(5, 2);
}

/* So many picks of the many's service, and how many each node got; `pick_ns` pass with each. */
static void picks_count(struct twin *twin, uint32_t picks, uint64_t pick_ns, uint32_t ret_counts[SLOTS])
{
    struct pick_item items[PICK_BATCH_MAX];
    for (uint32_t done = 0; done < picks; done += PICK_BATCH_MAX) {
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            items[i] = (struct pick_item){.service_id = 2};
        picks_take(twin, items, PICK_BATCH_MAX);
        twin->state.now_ns += pick_ns * PICK_BATCH_MAX;
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            ret_counts[items[i].result]++;
    }
}

/* Else their memory would not be in the cache. */
Test(finish_batches, of_many_nodes_stay_together)
{
    enum { GROUP = 16, RUNS = 64 }; /* those of the window, and what comes into it meanwhile */
    uint32_t counts[SLOTS] = {0}, groups = 0;
    snapshot_make();
    struct twin *twin = twin_new();
    picks_count(twin, 256, 0, counts);
    for (uint32_t first = 0; first < SLOTS; first += GROUP) {
        uint32_t picks = 0;
        for (uint32_t i = first; i < first + GROUP && i < SLOTS; i++)
            picks += counts[i];
        groups += picks > 0;
    }
    cr_assert_leq(groups, 2 * RUNS);
    free(twin);
    snapshot_free(snapshot);
}

Test(finish_batches, of_many_nodes_leave_nobody_out)
{
    enum { PICKS_EACH = 10 };
    uint32_t counts[SLOTS] = {0};
    snapshot_make();
    struct twin *twin = twin_new();
    picks_count(twin, PICKS_EACH * MANY, 0, counts);
    for (uint32_t i = FEW; i < SLOTS; i++)
        cr_assert(counts[i] >= PICKS_EACH - 6 && counts[i] <= PICKS_EACH + 6, "node %u has %u picks", i, counts[i]);
    free(twin);
    snapshot_free(snapshot);
}

/* How often each of the four has looked at it. */
Test(finish_batches, of_many_nodes_look_at_each_alike)
{
    enum { LOOKS = 40, PICKS = LOOKS * MANY };
    static uint32_t looks[SLOTS][PICK_CANDIDATES_MAX];
    struct pick_item items[PICK_BATCH_MAX];
    snapshot_make();
    struct twin *twin = twin_new();
    for (uint32_t done = 0; done < PICKS; done += PICK_BATCH_MAX) {
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            items[i] = (struct pick_item){.service_id = 2};
        picks_take(twin, items, PICK_BATCH_MAX);
        for (uint32_t i = 0; i < PICK_BATCH_MAX; i++)
            for (uint32_t of = 0; of < PICK_CANDIDATES_MAX; of++)
                looks[items[i].candidate[of].slot][of]++;
    }
    for (uint32_t i = FEW; i < SLOTS; i++)
        for (uint32_t of = 0; of < PICK_CANDIDATES_MAX; of++)
            cr_assert(looks[i][of] >= LOOKS / 2 && looks[i][of] <= LOOKS * 3 / 2, "candidate %u: %u looks at node %u", of,
                      looks[i][of], i);
    free(twin);
    snapshot_free(snapshot);
}

/* The first half, which joined before the others, is four times as slow: it can do a fifth of the jobs, of 250,000 a
 * second, and gets fewer. */
Test(finish_batches, of_many_nodes_spare_slow_racks)
{
    enum { PICKS = 400000, PICK_NS = 4700 };
    uint32_t counts[SLOTS] = {0}, slow = 0;
    snapshot_make();
    struct twin *twin = twin_new();
    for (uint32_t i = FEW; i < SLOTS; i++) {
        struct finish_track track = {0};
        struct finish_report report = report_of(i < FEW + MANY / 2 ? 0.4f : 0.1f);
        (void)!finish_time_report(&twin->finish, &twin->values[i], &track, &report, twin->state.now_ns);
    }
    picks_count(twin, PICKS, PICK_NS, counts);
    for (uint32_t i = FEW; i < FEW + MANY / 2; i++)
        slow += counts[i];
    double share = (double)slow / PICKS;
    cr_assert(share > 0.02 && share < 0.25, "the slow half has %.3f of the picks", share);
    free(twin);
    snapshot_free(snapshot);
}
