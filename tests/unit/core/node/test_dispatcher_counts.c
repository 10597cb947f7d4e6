/* How many jobs came from which dispatcher. */
#include <criterion/criterion.h>

#include "core/node/dispatcher_counts.h"

Test(dispatcher_counts, unknown_dispatcher_counts_nowhere)
{
    struct dispatcher_counts table = {.count = 0};
    dispatcher_counts_add(&table, 0);
    cr_expect_eq(table.count, 0);
}

Test(dispatcher_counts, jobs_are_counted_per_dispatcher_latest_first)
{
    struct dispatcher_counts table = {.count = 0};
    dispatcher_counts_add(&table, 7);
    dispatcher_counts_add(&table, 8);
    dispatcher_counts_add(&table, 7);
    cr_assert_eq(table.count, 2);
    cr_expect_eq(table.echoes[0].dispatcher_boot_id, 7);
    cr_expect_eq(table.echoes[0].jobs, 2);
    cr_expect_eq(table.echoes[1].dispatcher_boot_id, 8);
    cr_expect_eq(table.echoes[1].jobs, 1);
}

Test(dispatcher_counts, the_one_silent_for_longest_makes_room)
{
    struct dispatcher_counts table = {.count = 0};
    for (uint64_t boot_id = 1; boot_id <= ECHOES_MAX; boot_id++)
        dispatcher_counts_add(&table, boot_id);
    dispatcher_counts_add(&table, 1);
    dispatcher_counts_add(&table, 1000);
    cr_assert_eq(table.count, ECHOES_MAX);
    cr_expect_eq(table.echoes[0].dispatcher_boot_id, 1000);
    cr_expect_eq(table.echoes[1].dispatcher_boot_id, 1);
    cr_expect_eq(table.echoes[1].jobs, 2);
    for (uint32_t i = 0; i < table.count; i++)
        cr_expect_neq(table.echoes[i].dispatcher_boot_id, 2);
}

Test(dispatcher_counts, count_wraps)
{
    struct dispatcher_counts table = {.count = 1, .echoes = {{.dispatcher_boot_id = 5, .jobs = UINT32_MAX}}};
    dispatcher_counts_add(&table, 5);
    cr_expect_eq(table.echoes[0].jobs, 0);
}
