/* feedback: how far the word of clients is believed. */
#include <criterion/criterion.h>

#include "core/policy/feedback.h"
#include "core/policy/finish_time.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

static struct node_values values;
static struct feedback_track track;
static uint64_t now_ns;

/* Of one slot, idle, with jobs of 20 ms. */
static void setup(void)
{
    struct finish_time finish;
    struct finish_track known = {0};
    struct finish_report report = {
        .boot_id = 1, .slots = 1, .echoes = true, .queue_factor = 1, .kind = 1, .service_count = 1, .job_s = {0.02f}};
    now_ns = 1000 * S;
    finish_time_init(&finish, NULL);
    (void)!finish_time_report(&finish, &values, &known, &report, now_ns);
}

TestSuite(feedback, .init = setup);

static bool say(uint32_t client, enum feedback_outcome outcome, float latency_s)
{
    struct feedback feedback = {.client = client, .latency_s = latency_s, .outcome = outcome};
    return feedback_apply(&values, &track, &feedback, now_ns);
}

static float wait_ms(void)
{
    return 1000 * finish_time_left_s(&values, now_ns);
}

static void set_no_echo(void)
{
    atomic_store(&values.flags, NODE_VALUE_NO_ECHO);
    atomic_store(&values.job_codes[0], 0);
}

static float job_ms(void)
{
    return 1000 * finish_time_job_s(atomic_load(&values.job_codes[0]));
}

Test(feedback, one_client_counts_once_a_second)
{
    cr_expect(say(1, FEEDBACK_FAILED, 0.001f));
    for (int i = 0; i < 100; i++)
        cr_expect(!say(1, FEEDBACK_TIMEOUT, 0.001f));
    cr_expect_float_eq(wait_ms(), 20, 1);
    now_ns += S;
    cr_expect(say(1, FEEDBACK_FAILED, 0.001f));
    cr_expect_float_eq(wait_ms(), 20, 1);
}

Test(feedback, several_clients_count_more_but_not_without_end)
{
    uint32_t counted = 0;
    for (uint32_t client = 1; client <= 100; client++)
        counted += say(client, FEEDBACK_FAILED, 0.001f);
    cr_expect_eq(counted, FEEDBACK_JOBS_MANY);
    cr_expect_float_eq(wait_ms(), 20 * FEEDBACK_JOBS_MANY, 10);
}

Test(feedback, of_the_time_no_more_than_half)
{
    atomic_store(&values.job_code, finish_time_code(10));
    for (uint32_t client = 1; client <= 100; client++)
        (void)say(client, FEEDBACK_FAILED, 10);
    cr_expect_float_eq(wait_ms(), 500, 10);
}

Test(feedback, a_node_whose_jobs_take_nobody_knows_how_long_is_not_moved)
{
    atomic_store(&values.job_code, 0);
    cr_expect(!say(1, FEEDBACK_FAILED, 0.001f));
    cr_expect_lt(wait_ms(), 0.001f);
}

Test(feedback, latencies_say_nothing_of_a_node_that_tells_itself)
{
    cr_expect(!say(1, FEEDBACK_OK, 5));
    cr_expect_float_eq(job_ms(), 20, 1);
}

Test(feedback, latency_of_nothing_is_ignored)
{
    set_no_echo();
    cr_expect(!say(1, FEEDBACK_OK, 0));
    cr_expect_eq(job_ms(), 0);
}

Test(feedback, a_service_that_the_node_does_not_offer_is_ignored)
{
    struct feedback feedback = {.client = 1, .ordinal = VALUES_SERVICES_MAX, .latency_s = 1, .outcome = FEEDBACK_OK};
    set_no_echo();
    cr_expect(!feedback_apply(&values, &track, &feedback, now_ns));
    cr_expect_eq(job_ms(), 0);
}

Test(feedback, first_latency_is_the_estimate_of_an_attached_server)
{
    set_no_echo();
    cr_expect(say(1, FEEDBACK_OK, 0.05f));
    cr_expect_float_eq(job_ms(), 50, 3);
}

Test(feedback, one_client_moves_the_estimate_by_few_steps_a_second)
{
    set_no_echo();
    (void)say(1, FEEDBACK_OK, 0.05f);
    for (int i = 0; i < 1000; i++)
        (void)say(1, FEEDBACK_OK, 100);
    cr_expect_lt(job_ms(), 70);
}

Test(feedback, estimate_settles_at_the_median_whatever_a_few_claim)
{
    set_no_echo();
    for (uint32_t i = 0; i < 3000; i++) {
        now_ns += 20 * MS;
        (void)say(i, FEEDBACK_OK, i % 5 == 0 ? 200 : i % 5 <= 2 ? 0.08f : 0.12f);
    }
    cr_expect(job_ms() > 70 && job_ms() < 140, "%g", (double)job_ms());
}

Test(feedback, estimate_outlives_reports_that_know_none)
{
    struct finish_time finish;
    struct finish_track known = {0};
    struct finish_report report = {.boot_id = 1, .slots = 2, .queue_factor = 1, .kind = 1, .service_count = 1};
    finish_time_init(&finish, NULL);
    set_no_echo();
    (void)say(1, FEEDBACK_OK, 0.05f);
    (void)!finish_time_report(&finish, &values, &known, &report, now_ns);
    cr_expect_float_eq(job_ms(), 50, 3);
}

Test(feedback, a_flood_beside_honest_clients_does_not_carry_the_estimate_away)
{
    set_no_echo();
    for (uint32_t i = 0; i < 4000; i++) {
        now_ns += 5 * MS;
        bool honest = i % 10 == 0;
        (void)say(honest ? 100 + i : 1, FEEDBACK_OK, honest ? 0.1f : 3000);
    }
    cr_expect(job_ms() > 50 && job_ms() < 250, "%g", (double)job_ms());
}

Test(feedback, an_estimate_of_a_node_that_nobody_is_sent_to_is_forgotten)
{
    struct finish_time finish;
    struct finish_track known = {0};
    struct finish_report report = {.boot_id = 1, .slots = 2, .queue_factor = 1, .kind = 1, .service_count = 1};
    finish_time_init(&finish, NULL);
    set_no_echo();
    (void)say(1, FEEDBACK_OK, 3000);
    for (uint32_t i = 0; i < 9; i++, now_ns += S) {
        (void)!finish_time_report(&finish, &values, &known, &report, now_ns);
        cr_expect_gt(job_ms(), 0);
    }
    now_ns += 2 * S;
    (void)!finish_time_report(&finish, &values, &known, &report, now_ns);
    cr_expect_eq(atomic_load(&values.job_codes[0]), 0);
}

Test(feedback, hosts_of_one_ipv6_network_are_one_client)
{
    struct address first = {.family = ADDRESS_IPV6, .ip = {0x20, 1, [15] = 1}}, second = first, other = first;
    second.ip[15] = 2;
    other.ip[7] = 1;
    cr_expect_eq(feedback_client(&first), feedback_client(&second));
    cr_expect_neq(feedback_client(&first), feedback_client(&other));
}
