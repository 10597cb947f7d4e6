/* finish-time in batches, of services with few nodes and with many: the same picks as one by one. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/policy/policy.h"

enum { FEW = 100, MANY = 10000, SLOTS = FEW + MANY, ROUNDS = 50 };

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
        struct finish_report report = {.boot_id = 1,
                                       .slots = 2,
                                       .jobs = 2 + i % 7,
                                       .echoes = true,
                                       .work_s = (float)(2 + i % 7) * 0.1f,
                                       .queue_factor = 1,
                                       .service_count = 1,
                                       .job_s = {0.1f}};
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

Test(finish_batches, that_are_smaller_than_what_is_drawn_ahead)
{
    expect_same(5, 2);
}
