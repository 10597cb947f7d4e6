/* finish-time: what reports, tokens and picks make of a node. */
#include <stdlib.h>

#include "tests/unit/core/policy/finish_fixture.h"

TestSuite(finish_time, .init = finish_setup, .fini = finish_teardown);

static void report(uint32_t node, const struct finish_report *what)
{
    if (finish_time_report(&finish, &values[node], &tracks[node], what, now_ns))
        idle_tokens_push(finish.tokens, SERVICE, node, 0, 0);
}

Test(finish_time, times_as_a_byte_are_five_percent_off_at_most)
{
    cr_expect_eq(finish_time_code(0), 0);
    cr_expect_eq(finish_time_code(-1), 0);
    cr_expect_float_eq(finish_time_job_s(0), 0, 0);
    for (float s = 1e-6f; s < 3000; s *= 1.07f)
        cr_expect_float_eq(finish_time_job_s(finish_time_code(s)) / s, 1, 0.05, "%g", (double)s);
}

Test(finish_time, nodes_that_never_reported_are_handed_out_evenly)
{
    uint32_t counts[NODES];
    picks_count(8000, counts);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect(counts[i] > 700 && counts[i] < 1300, "%u: %u", i, counts[i]);
}

Test(finish_time, a_long_queue_is_left_alone_until_it_is_done)
{
    uint32_t counts[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        struct finish_report full = report_of(i == 0 ? 1000 : 1, 0.01f);
        report(i, &full);
    }
    picks_count(100, counts);
    cr_expect_eq(counts[0], 0);
    now_ns += 12 * S;
    picks_count(100, counts);
    cr_expect_gt(counts[0], 5);
}

Test(finish_time, queues_of_an_hour_are_told_apart)
{
    uint32_t counts[NODES], longest = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        struct finish_report full = report_of(i < NODES / 2 ? 40 : 30, 100);
        report(i, &full);
    }
    picks_count(16, counts);
    for (uint32_t i = 0; i < NODES / 2; i++)
        longest += counts[i];
    cr_expect_leq(longest, 4u); /* where no other was drawn */
}

/* Which is less than a unit of the finish time. */
Test(finish_time, picks_of_short_jobs_on_many_slots_add_up)
{
    const float job_s = 100e-6f, slots = 64;
    const uint32_t picks = 8000;
    float before_s = 0, after_s = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        struct finish_report idle = report_of(0, job_s);
        idle.slots = (uint32_t)slots;
        report(i, &idle);
        before_s += finish_time_left_s(&values[i], now_ns);
    }
    uint32_t counts[NODES];
    picks_count(picks, counts);
    for (uint32_t i = 0; i < NODES; i++)
        after_s += finish_time_left_s(&values[i], now_ns);
    cr_expect_float_eq((after_s - before_s) / ((float)picks * job_s / slots), 1, 0.1, "%g s", (double)(after_s - before_s));
}

Test(finish_time, a_slow_node_gets_as_much_less_as_it_is_slower)
{
    uint32_t counts[NODES] = {0};
    for (uint32_t i = 0; i < NODES; i++) {
        struct finish_report idle = report_of(1, i == 0 ? 0.04f : 0.01f);
        report(i, &idle);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        counts[pick()]++;
        now_ns += MS * 3 / 2;
    }
    cr_expect(counts[0] < counts[1] / 2, "%u of %u", counts[0], counts[1]);
}

Test(finish_time, picks_under_way_count_until_the_node_echoes_them)
{
    struct finish_report idle = report_of(0, 0.1f);
    report(0, &idle);
    atomic_store(&values[0].picks, 3);
    report(0, &idle);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0.3f, 0.01);
    idle.received = 3;
    report(0, &idle);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0, 0.01);
}

Test(finish_time, picks_that_never_become_jobs_expire)
{
    struct finish_report idle = report_of(0, 0.1f);
    report(0, &idle);
    atomic_store(&values[0].picks, 3);
    for (int i = 0; i < 3; i++) {
        now_ns += S;
        report(0, &idle);
    }
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0, 0.01);
    /* Later ones count again. */
    atomic_store(&values[0].picks, 4);
    report(0, &idle);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0.1f, 0.01);
}

Test(finish_time, a_restarted_node_owes_nothing)
{
    struct finish_report idle = report_of(0, 0.1f);
    report(0, &idle);
    atomic_store(&values[0].picks, 50);
    idle.boot_id = 2;
    report(0, &idle);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0, 0.01);
}

Test(finish_time, the_other_dispatchers_picks_are_counted_too)
{
    atomic_store(&finish.dispatchers, 3);
    struct finish_report idle = report_of(0, 0.1f);
    report(0, &idle);
    atomic_store(&values[0].picks, 2);
    report(0, &idle);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0.6f, 0.01);
}

Test(finish_time, a_dispatcher_s_queue_counts_half_as_much_again)
{
    struct finish_report busy = report_of(2, 0.1f);
    busy.queue_factor = 1.5f;
    report(0, &busy);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0.3f, 0.01);
}

static void all_report(uint32_t jobs)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct finish_report what = report_of(jobs, 0.1f);
        report(i, &what);
    }
}

static void token_comes(uint32_t node)
{
    if (finish_time_token(&values[node], &tracks[node], now_ns))
        idle_tokens_push(finish.tokens, SERVICE, node, 0, 0);
}

Test(finish_time, a_token_is_used_once)
{
    all_report(2);
    token_comes(5);
    cr_expect_eq(pick(), 5);
    cr_expect_not(idle_tokens_exist(finish.tokens, SERVICE));
}

Test(finish_time, a_token_is_forgotten_when_the_node_reports_to_be_busy)
{
    all_report(2);
    token_comes(5);
    struct finish_report busy = report_of(9, 0.1f);
    report(5, &busy);
    for (uint32_t i = 0; i < 8; i++)
        cr_expect_neq(pick(), 5);
}

Test(finish_time, a_slow_node_s_token_does_not_beat_a_fast_idle_one)
{
    all_report(0);
    struct finish_report slow = report_of(0, 1);
    report(5, &slow);
    token_comes(5);
    cr_expect_neq(pick(), 5);
    cr_expect(idle_tokens_exist(finish.tokens, SERVICE), "it stays for a worse time");
}

/* What a client asks for that leaves out the node `excluded`, as after a failure. */
static uint32_t pick_without(uint32_t excluded)
{
    uint32_t slots[PICKS_MAX];
    for (uint32_t i = 0; i < NODES; i++)
        values[i].address = (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(1000 + i)};
    struct address exclude = values[excluded].address;
    struct pick_query query = {.service_id = SERVICE, .excludes = &exclude, .exclude_count = 1, .count = 1};
    state.now_ns = now_ns;
    cr_assert_eq(policy_pick(POLICY_FINISH_TIME, &state, snapshot, values, &query, slots), 1);
    return slots[0];
}

Test(finish_time, an_excluded_node_s_token_stays_for_others)
{
    all_report(2);
    token_comes(5);
    for (uint32_t i = 0; i < 8; i++)
        cr_expect_neq(pick_without(5), 5);
    cr_expect(idle_tokens_exist(finish.tokens, SERVICE));
    cr_expect_eq(pick(), 5);
}

Test(finish_time, a_request_with_excludes_gets_an_idle_node_and_uses_its_token_up)
{
    all_report(2);
    token_comes(3);
    token_comes(5);
    cr_expect_eq(pick_without(5), 3);
    cr_expect_eq(state.idle_picks, 1u);
    (void)pick_without(5);
    cr_expect_eq(state.idle_picks, 1u);
    cr_expect_eq(pick(), 5);
}

Test(finish_time, a_request_for_several_gets_idle_nodes_each_once)
{
    uint32_t slots[PICKS_MAX];
    struct pick_query query = {.service_id = SERVICE, .count = 3};
    all_report(2);
    token_comes(3);
    token_comes(5);
    state.now_ns = now_ns;
    cr_expect_eq(policy_pick(POLICY_FINISH_TIME, &state, snapshot, values, &query, slots), 3);
    cr_expect(slots[0] + slots[1] == 8 && (slots[0] == 3 || slots[0] == 5), "%u, %u", slots[0], slots[1]);
    cr_expect(slots[2] != 3 && slots[2] != 5);
    cr_expect_not(idle_tokens_exist(finish.tokens, SERVICE));
}

Test(finish_time, services_do_not_use_each_other_s_tokens)
{
    idle_tokens_push(finish.tokens, SERVICE + TOKEN_RINGS, 5, 0, 0);
    struct idle_token found[TOKEN_SAMPLES];
    cr_expect_eq(idle_tokens_sample(finish.tokens, SERVICE, &state.random, found), 0u);
}

Test(finish_time, old_information_gives_turns_by_speed)
{
    uint32_t counts[NODES];
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < NODES; i++) {
            struct finish_report what = report_of(0, i < NODES / 2 ? 0.001f : 0.002f);
            report(i, &what);
        }
        now_ns += S;
    }
    state.turns = 0;
    picks_count(6000, counts);
    cr_expect_gt(state.turns, 5000u);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect_float_eq((double)counts[i], i < NODES / 2 ? 1000.0 : 500.0, 60, "%u: %u", i, counts[i]);
}

Test(finish_time, old_information_gives_turns_to_who_is_not_excluded)
{
    uint32_t counts[NODES] = {0};
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < NODES; i++) {
            struct finish_report what = report_of(0, i < NODES / 2 ? 0.001f : 0.002f);
            report(i, &what);
        }
        now_ns += S;
    }
    state.turns = 0;
    for (uint32_t i = 0; i < 5000; i++)
        counts[pick_without(0)]++;
    cr_expect_gt(state.turns, 4000u);
    cr_expect_eq(counts[0], 0u);
    for (uint32_t i = 1; i < NODES; i++)
        cr_expect_float_eq((double)counts[i], i < NODES / 2 ? 1000.0 : 500.0, 60, "%u: %u", i, counts[i]);
}

Test(finish_time, excluded_and_drained_nodes_are_not_handed_out)
{
    all_report(1);
    for (uint32_t i = 2; i < NODES; i++)
        atomic_store(&values[i].flags, NODE_VALUE_DRAIN);
    state.now_ns = now_ns;
    for (uint32_t i = 0; i < 50; i++)
        cr_expect_lt(pick(), 2u);
    uint32_t slots[PICKS_MAX];
    struct pick_query query = {.service_id = SERVICE, .count = 5};
    cr_expect_eq(policy_pick(POLICY_FINISH_TIME, &state, snapshot, values, &query, slots), 2);
}

Test(finish_time, after_a_long_silence_a_settled_node_is_still_idle)
{
    all_report(1);
    for (uint32_t minute = 0; minute < 1500; minute++) {
        now_ns += FINISH_SETTLE_NS;
        finish_time_settle(&values[0], now_ns);
        cr_assert_lt(finish_time_left_s(&values[0], now_ns), 0.0f, "after %u minutes", minute);
    }
}

/* Until all is done may be longer than until a slot is free, which is what is cut. */
Test(finish_time, a_settled_node_of_long_jobs_and_many_slots_is_as_busy_as_before)
{
    struct finish_report batch = report_of(35, 1800);
    batch.slots = 8;
    report(0, &batch);
    float before_s = finish_time_left_s(&values[0], now_ns);
    cr_assert(before_s > 7680 && before_s < 9300, "%g", (double)before_s);
    finish_time_settle(&values[0], now_ns);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), before_s, 1);
}

Test(finish_time, what_is_forgotten_is_as_of_a_node_that_has_just_come)
{
    all_report(3);
    token_comes(0);
    finish_time_forget(&values[0], now_ns);
    cr_expect_eq(atomic_load(&values[0].slots), 0);
    cr_expect_eq(atomic_load(&values[0].job_codes[0]), 0);
    cr_expect_eq(atomic_load(&values[0].token), 0);
    cr_expect_float_eq(finish_time_left_s(&values[0], now_ns), 0, 0.001);
}

Test(finish_time, forgetting_keeps_the_tenure)
{
    node_values_leave(&values[0]);
    finish_time_forget(&values[0], now_ns);
    cr_expect_eq(node_values_tenure(&values[0]), 1);
}

Test(finish_time, an_old_token_is_not_believed_of_the_slot_s_next_node)
{
    all_report(2);
    token_comes(5);
    node_values_leave(&values[5]);
    atomic_fetch_or(&values[5].token, NODE_TOKEN_IDLE | NODE_TOKEN_HELD); /* the next one says so too, and its token is lost */
    struct finish_report full = report_of(1000, 0.1f);
    full.boot_id = 2;
    now_ns += MS;
    tracks[5] = (struct finish_track){0};
    report(5, &full);
    for (uint32_t i = 0; i < 10; i++)
        cr_expect_neq(pick(), 5u);
    cr_expect_not(idle_tokens_exist(finish.tokens, SERVICE), "it has been put away");
}

Test(finish_time, silence_makes_what_is_known_old)
{
    all_report(0);
    atomic_store(&finish.age_s, 0.5f);
    cr_expect_float_eq((double)finish_time_age_s(&finish), 0.5, 1e-6);
    atomic_store(&finish.silent_s, 30.0f);
    cr_expect_float_eq((double)finish_time_age_s(&finish), 30, 1e-6);
    uint32_t counts[NODES];
    picks_count(100, counts);
    cr_expect_gt(state.turns, 90u);
    cr_expect_eq(atomic_load(&finish.turned_ns), now_ns);
}

/* Of so many steps of a millisecond, in each of which `picks` are picked; all report every 100 ms and tell the truth. */
static void load_runs(uint32_t steps, uint32_t picks)
{
    for (uint32_t step = 0; step < steps; step++) {
        if (step % 100 == 0)
            for (uint32_t i = 0; i < NODES; i++) {
                struct finish_report what = report_of(1, 0.01f);
                what.received = atomic_load(&values[i].picks);
                report(i, &what);
            }
        for (uint32_t i = 0; i < picks; i++)
            (void)pick();
        now_ns += MS;
    }
}

Test(finish_time, a_load_that_begins_at_once_holds_nobody)
{
    load_runs(3000, 0);
    load_runs(5000, 2);
    for (uint32_t i = 0; i < NODES; i++)
        cr_expect_eq(tracks[i].share.held_ns, 0u, "%u", i);
}

Test(finish_time, what_a_node_got_in_a_long_silence_is_not_held_against_it)
{
    load_runs(3000, 1);
    atomic_fetch_add(&values[0].picks, 1000000);
    now_ns += 60 * S;
    load_runs(1000, 1);
    cr_expect_eq(tracks[0].share.held_ns, 0u);
}

Test(finish_time, without_a_share_cap_nobody_is_held)
{
    finish.share.max = 0;
    load_runs(1000, 1);
    atomic_fetch_add(&values[0].picks, 100000);
    load_runs(4000, 1);
    cr_expect_eq(tracks[0].share.held_ns, 0u);
}

Test(finish_time, who_has_drawn_far_more_than_its_share_is_held)
{
    load_runs(3000, 1);
    for (uint32_t i = 0; i < 30; i++) {
        atomic_fetch_add(&values[0].picks, 1000);
        load_runs(100, 1);
    }
    cr_expect_gt(tracks[0].share.held_ns, 0u);
}

Test(finish_time, picks_taken_back_are_no_reason_to_hold_a_node)
{
    load_runs(3000, 1);
    for (uint32_t i = 0; i < 30; i++) {
        atomic_fetch_sub(&values[0].picks, 50);
        load_runs(100, 1);
    }
    cr_expect_eq(tracks[0].share.held_ns, 0u);
}
