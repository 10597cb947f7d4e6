#include <criterion/criterion.h>
#include <string.h>

#include "bench/load/verdict.h"
#include "core/base/macros.h"

#define UNKNOWN VERDICT_CPU_UNKNOWN

/* A row is a run of 10,000 requests, and what is to be said of it. */
static const struct {
    const char *run;
    struct verdict_evidence evidence;
    enum verdict verdict;
} rows[] = {
    {"nothing was sent", {.open_loop = true}, VERDICT_NOTHING_SENT},
    {"nothing of what was planned was sent", {.open_loop = true, .unsent = 10000}, VERDICT_FELL_BEHIND},
    {"nothing of it, for the kernel would not send", {.open_loop = true, .unsent = 10000, .errors = 9}, VERDICT_NOTHING_SENT},
    {"nothing was sent because no connection came about", {.open_loop = true, .disconnected = true}, VERDICT_DISCONNECTED},
    {"nothing was answered, closed loop", {.sent = 1, .silent = 1}, VERDICT_UNANSWERED},
    {"nothing was answered, open loop", {.sent = 10000, .open_loop = true, .unsent = 1}, VERDICT_UNANSWERED},
    {"a single answer", {.sent = 10000, .answered = 1, .open_loop = true}, VERDICT_VALID},
    {"all connections were lost",
     {.sent = 10000, .answered = 9000, .open_loop = true, .disconnected = true},
     VERDICT_DISCONNECTED},
    {"more than one in a hundred late", {.sent = 10000, .answered = 9000, .open_loop = true, .late = 101}, VERDICT_FELL_BEHIND},
    {"one in a hundred late", {.sent = 10000, .answered = 9000, .open_loop = true, .late = 100}, VERDICT_VALID},
    {"planned and never sent", {.sent = 10000, .answered = 9000, .open_loop = true, .unsent = 1}, VERDICT_FELL_BEHIND},
    {"a closed loop has no schedule to keep", {.sent = 10000, .answered = 9000, .late = 10000}, VERDICT_VALID},
    {"closed loop, silent for long", {.sent = 10000, .answered = 9000, .silent = 0.11}, VERDICT_SILENT},
    {"closed loop, silent for a moment", {.sent = 10000, .answered = 9000, .silent = 0.09}, VERDICT_VALID},
    {"an open loop asks on in the silence", {.sent = 10000, .answered = 9000, .open_loop = true, .silent = 1}, VERDICT_VALID},
    {"full core, idle server",
     {.sent = 10000, .answered = 9000, .client_busy = 0.95, .server_thread_cpu = 0.94},
     VERDICT_BOTTLENECK},
    {"full core, unknown server",
     {.sent = 10000, .answered = 9000, .client_busy = 0.99, .server_thread_cpu = UNKNOWN},
     VERDICT_BOTTLENECK_PERHAPS},
    {"both cores full", {.sent = 10000, .answered = 9000, .client_busy = 1, .server_thread_cpu = 0.99}, VERDICT_VALID},
    {"time left, unknown server",
     {.sent = 10000, .answered = 9000, .client_busy = 0.4, .server_thread_cpu = UNKNOWN},
     VERDICT_VALID},
};

Test(verdict, run_counts_when_it_is_about_the_server)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        cr_expect_str_eq(verdict_code(verdict_of(&rows[i].evidence)), verdict_code(rows[i].verdict), "%s", rows[i].run);
}

Test(verdict, codes_are_told_apart_and_explained)
{
    for (enum verdict a = VERDICT_VALID; a <= VERDICT_BOTTLENECK_PERHAPS; a++) {
        cr_expect_gt(strlen(verdict_text(a)), strlen(verdict_code(a)));
        for (enum verdict b = VERDICT_VALID; b < a; b++)
            cr_expect_str_neq(verdict_code(a), verdict_code(b));
    }
}

Test(verdict, advice_is_there_for_every_cause)
{
    cr_expect_not_null(strstr(verdict_advice("timeout"), "--reply-timeout"));
    cr_expect_not_null(strstr(verdict_advice("ECONNREFUSED"), "--dispatcher"));
    cr_expect_not_null(strstr(verdict_advice("unknown-service"), "--service"));
    cr_expect_not_null(strstr(verdict_advice("not-dispatcher"), "--dispatcher"));
    cr_expect_not_null(strstr(verdict_advice("not-accepted-here"), "--dispatcher"));
    cr_expect_not_null(strstr(verdict_advice("wait-exceeded"), "--reply-timeout"));
    cr_expect_not_null(strstr(verdict_advice("interrupted"), "Ctrl-C"));
    cr_expect_not_null(strstr(verdict_advice("other-node"), "--nodes"));
    cr_expect_not_null(strstr(verdict_advice("anything-else"), "ERRORS.md"));
}

Test(verdict, advice_where_nothing_was_sent_goes_by_what_is_known)
{
    cr_expect_not_null(strstr(verdict_advice_unsent(true, true), "errors by name"));
    cr_expect_not_null(strstr(verdict_advice_unsent(false, true), "--warmup"));
    cr_expect_not_null(strstr(verdict_advice_unsent(false, false), "--duration"));
}
