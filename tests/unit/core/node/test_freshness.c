/* When a node tells of itself out of turn. */
#include <criterion/criterion.h>

#include "core/node/freshness.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define ANA 1u
#define BEN 2u

static struct freshness fresh_of(double per_s, bool tokens, bool reports)
{
    struct freshness freshness;
    struct freshness_config config = {.slots = 1, .per_s = per_s, .tokens = tokens, .reports = reports};
    freshness_init(&freshness, &config, S);
    freshness_job_left(&freshness, 0, 0.1);
    freshness_beat(&freshness, S);
    return freshness;
}

static enum freshness_message take(struct freshness *freshness, uint64_t now_ns)
{
    uint64_t again_ns;
    return freshness_take(freshness, ANA, now_ns, &again_ns);
}

Test(freshness, a_node_without_a_free_slot_offers_none)
{
    struct freshness freshness = fresh_of(10, true, false);
    freshness_job_came(&freshness, 1, 0.1, ANA);
    cr_expect_eq(take(&freshness, S), FRESHNESS_NOTHING);
}

Test(freshness, nobody_to_tell_gets_no_token)
{
    struct freshness freshness = fresh_of(10, true, false);
    uint64_t again_ns;
    cr_expect_eq(freshness_take(&freshness, 0, S, &again_ns), FRESHNESS_NOTHING);
}

Test(freshness, one_token_is_out_at_a_time)
{
    struct freshness freshness = fresh_of(10, true, false);
    cr_expect_eq(take(&freshness, S), FRESHNESS_TOKEN);
    cr_expect_eq(take(&freshness, S + 20 * MS), FRESHNESS_NOTHING);
}

Test(freshness, a_token_that_nothing_comes_of_is_given_again)
{
    struct freshness freshness = fresh_of(10, true, false);
    cr_expect_eq(take(&freshness, S), FRESHNESS_TOKEN);
    cr_expect_eq(take(&freshness, S + 100 * MS), FRESHNESS_TOKEN);
}

Test(freshness, a_used_token_makes_way_for_the_next)
{
    struct freshness freshness = fresh_of(10, true, false);
    cr_expect_eq(take(&freshness, S), FRESHNESS_TOKEN);
    freshness_job_came(&freshness, 1, 0.1, ANA);
    freshness_job_left(&freshness, 0, 0.1);
    cr_expect_eq(take(&freshness, S + 20 * MS), FRESHNESS_TOKEN);
}

Test(freshness, tokens_keep_ten_milliseconds_apart)
{
    struct freshness freshness = fresh_of(10, true, false);
    uint64_t again_ns;
    cr_expect_eq(take(&freshness, S), FRESHNESS_TOKEN);
    freshness_job_came(&freshness, 1, 0.1, ANA);
    freshness_job_left(&freshness, 0, 0.1);
    cr_expect_eq(freshness_take(&freshness, ANA, S + MS, &again_ns), FRESHNESS_NOTHING);
    cr_expect_eq(again_ns, S + FRESHNESS_GAP_NS);
}

Test(freshness, a_job_of_another_dispatcher_is_reported_so_that_the_token_is_forgotten)
{
    struct freshness freshness = fresh_of(10, true, true);
    cr_expect_eq(take(&freshness, S), FRESHNESS_TOKEN);
    freshness_job_came(&freshness, 1, 0.1, BEN);
    cr_expect_eq(take(&freshness, S + 10 * MS), FRESHNESS_REPORT);
    freshness_job_left(&freshness, 0, 0.1);
    cr_expect_eq(take(&freshness, S + 20 * MS), FRESHNESS_TOKEN);
}

Test(freshness, a_queue_that_does_not_get_shorter_is_reported)
{
    struct freshness freshness = fresh_of(10, false, true);
    freshness_job_left(&freshness, 3, 0.1);
    freshness_beat(&freshness, S);
    cr_expect_eq(take(&freshness, S + 20 * MS), FRESHNESS_NOTHING, "as expected");
    cr_expect_eq(take(&freshness, S + 100 * MS), FRESHNESS_REPORT);
}

Test(freshness, messages_stay_within_the_budget)
{
    struct freshness freshness = fresh_of(10, true, true);
    uint32_t sent = 0;
    for (uint64_t ms = 0; ms < 10000; ms++) {
        if (ms % 20 == 0)
            freshness_job_came(&freshness, 1, 0.01, ANA);
        if (ms % 20 == 10)
            freshness_job_left(&freshness, 0, 0.01);
        sent += take(&freshness, S + ms * MS) != FRESHNESS_NOTHING;
    }
    cr_expect(sent > 90 && sent <= 105, "%u", sent);
}

Test(freshness, a_heartbeat_takes_as_much_of_the_share_as_there_are_dispatchers)
{
    struct freshness freshness = fresh_of(1000, false, true);
    freshness_share(&freshness, 4, 4000, S); /* 20 a second */
    uint32_t sent = 0;
    for (uint64_t ms = 0; ms < 10000; ms++) {
        freshness_job_left(&freshness, (uint32_t)(ms / 20 % 2), 0.01);
        sent += take(&freshness, S + ms * MS) == FRESHNESS_REPORT;
    }
    cr_expect(sent >= 45 && sent <= 55, "%u", sent);
}

Test(freshness, tokens_of_all_nodes_fit_their_dispatchers)
{
    struct freshness freshness = fresh_of(1000, true, false);
    freshness_share(&freshness, 3, 6000, S); /* 10 a second */
    uint32_t sent = 0;
    for (uint64_t ms = 0; ms < 10000; ms++) {
        freshness_job_came(&freshness, 1, 0.001, ANA);
        freshness_job_left(&freshness, 0, 0.001);
        sent += take(&freshness, S + ms * MS) == FRESHNESS_TOKEN;
    }
    cr_expect(sent >= 100 && sent <= 110, "%u", sent);
    cr_expect(freshness.held > 0 && freshness.held <= 1000, "%lu", (unsigned long)freshness.held);
    cr_expect_float_eq(freshness_budget_per_s(&freshness), 10, 1e-9);
}

Test(freshness, the_lesser_budget_counts)
{
    struct freshness freshness = fresh_of(50, true, true);
    cr_expect_float_eq(freshness_budget_per_s(&freshness), 50, 1e-9, "before an rm has said how many nodes there are");
    freshness_share(&freshness, 3, 100, S);
    cr_expect_float_eq(freshness_budget_per_s(&freshness), 50, 1e-9);
    freshness_share(&freshness, 3, 100000, S);
    cr_expect_float_eq(freshness_budget_per_s(&freshness), 0.6, 1e-9);
}

Test(freshness, a_heartbeat_for_another_reason_comes_out_of_the_same_budget)
{
    struct freshness freshness = fresh_of(10, true, true);
    for (int i = 0; i < 5; i++)
        cr_expect(freshness_extra(&freshness, S));
    cr_expect_not(freshness_extra(&freshness, S));
    cr_expect_eq(take(&freshness, S), FRESHNESS_NOTHING);
    cr_expect_eq(take(&freshness, S + 100 * MS), FRESHNESS_TOKEN);
    cr_expect_gt(freshness.held, 0u);
}

Test(freshness, without_a_budget_of_its_own_only_the_dispatchers_limit_other_heartbeats)
{
    struct freshness freshness = fresh_of(0, true, true);
    freshness_share(&freshness, 2, 40000, S); /* 1 a second, of which a heartbeat takes 2 */
    uint32_t sent = 0;
    for (uint64_t ms = 0; ms < 20000; ms += 100)
        sent += freshness_extra(&freshness, S + ms * MS);
    cr_expect(sent >= 9 && sent <= 11, "%u", sent);
}

Test(freshness, without_a_budget_nothing_goes_after_the_first_few)
{
    struct freshness freshness = fresh_of(0, true, true);
    uint32_t sent = 0;
    for (uint64_t ms = 0; ms < 100000; ms++)
        sent += take(&freshness, S + ms * MS) != FRESHNESS_NOTHING;
    cr_expect_leq(sent, 5u);
}
