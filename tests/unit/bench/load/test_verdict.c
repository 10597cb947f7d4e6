#include <criterion/criterion.h>

#include "bench/load/verdict.h"

static const struct verdict_evidence sound = {.open_loop = true, .sent = 10000, .client_busy = 0.4, .server_thread_cpu = 0.5};

Test(verdict, run_in_which_nothing_was_sent_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.sent = 0;
    cr_assert_eq(verdict_of(&evidence), VERDICT_NOTHING_SENT);
}

Test(verdict, run_that_lost_all_its_connections_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.disconnected = true;
    cr_assert_eq(verdict_of(&evidence), VERDICT_DISCONNECTED);
}

Test(verdict, more_than_one_late_send_in_a_hundred_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.late = 101;
    cr_assert_eq(verdict_of(&evidence), VERDICT_FELL_BEHIND);
    evidence.late = 100;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}

Test(verdict, planned_and_never_sent_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.unsent = 1;
    cr_assert_eq(verdict_of(&evidence), VERDICT_FELL_BEHIND);
}

Test(verdict, closed_loop_has_no_schedule_to_keep)
{
    struct verdict_evidence evidence = sound;
    evidence.open_loop = false;
    evidence.late = evidence.sent;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}

Test(verdict, closed_loop_about_a_server_that_fell_silent_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.open_loop = false;
    evidence.silent = 0.11;
    cr_assert_eq(verdict_of(&evidence), VERDICT_SILENT);
    evidence.silent = 0.1;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}

Test(verdict, open_loop_charges_silence_to_the_latencies)
{
    struct verdict_evidence evidence = sound;
    evidence.silent = 0.5;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}

Test(verdict, full_core_of_the_generator_beside_an_idle_server_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.client_busy = 0.95;
    evidence.server_thread_cpu = 0.94;
    cr_assert_eq(verdict_of(&evidence), VERDICT_BOTTLENECK);
}

Test(verdict, full_core_of_the_generator_beside_an_unknown_server_is_void)
{
    struct verdict_evidence evidence = sound;
    evidence.client_busy = 0.99;
    evidence.server_thread_cpu = VERDICT_CPU_UNKNOWN;
    cr_assert_eq(verdict_of(&evidence), VERDICT_BOTTLENECK_PERHAPS);
}

Test(verdict, both_cores_full_is_valid)
{
    struct verdict_evidence evidence = sound;
    evidence.client_busy = 1;
    evidence.server_thread_cpu = 0.99;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}

Test(verdict, generator_with_time_left_is_valid_whatever_the_server_does)
{
    struct verdict_evidence evidence = sound;
    evidence.server_thread_cpu = VERDICT_CPU_UNKNOWN;
    cr_assert_eq(verdict_of(&evidence), VERDICT_VALID);
}
