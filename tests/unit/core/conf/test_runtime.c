/* Options that change while a program runs: one by one, or by reading everything again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/core/conf/sample.h"

struct differences {
    const char *changed[8];
    const char *refused[8];
    size_t changed_count;
    size_t refused_count;
};

static void on_change(void *context, const struct conf_option *option)
{
    struct differences *differences = context;
    differences->changed[differences->changed_count++] = option->name;
}

static void on_refused(void *context, const struct conf_option *option)
{
    struct differences *differences = context;
    differences->refused[differences->refused_count++] = option->name;
}

Test(runtime, set_refuses_what_is_unknown_fixed_or_wrong)
{
    struct sample_options options = SAMPLE_OK("--");
    struct conf_error error;
    cr_expect_eq(conf_set(&sample_program, &options, "sleep-facter", "2", &error), -EINVAL);
    cr_expect_str_eq(error.text, "unknown option sleep-facter (did you mean sleep-factor?)");
    cr_expect_eq(conf_set(&sample_program, &options, "threads", "2", &error), -EINVAL);
    cr_expect_str_eq(error.text, "threads cannot be changed while sample runs; restart it with --threads");
    cr_expect_eq(conf_set(&sample_program, &options, "sleep-factor", "much", &error), -EINVAL);
    cr_expect_str_eq(error.text, "sleep-factor: \"much\" is not a number; write one of 0..100");
    cr_expect_eq(options.factor, 1.0, "untouched on failure");
    conf_done(&sample_program, &options);
}

Test(runtime, set_replaces_a_value_and_a_list)
{
    struct sample_options options = SAMPLE_OK("--");
    struct conf_error error;
    cr_assert_eq(conf_set(&sample_program, &options, "sleep-factor", "2.5", &error), 0);
    cr_assert_eq(conf_set(&sample_program, &options, "services", "spin", &error), 0);
    cr_expect_eq(options.factor, 2.5);
    cr_expect_eq(options.services.count, 1);
    conf_done(&sample_program, &options);
}

Test(runtime, apply_takes_what_may_change_and_names_the_rest)
{
    struct sample_options options = SAMPLE_OK("--");
    struct sample_options fresh = SAMPLE_OK("--heartbeat=2s", "--threads=2", "--services=spin", "--attach=x", "--rm=127.0.0.1:2");
    struct differences differences = {.changed_count = 0};
    conf_apply(&sample_program, &options, &fresh, on_change, on_refused, &differences);
    cr_assert_eq(differences.changed_count, 2);
    cr_expect_str_eq(differences.changed[0], "heartbeat");
    cr_expect_str_eq(differences.changed[1], "services");
    cr_assert_eq(differences.refused_count, 3);
    cr_expect_str_eq(differences.refused[0], "threads");
    cr_expect_eq(options.heartbeat_ns, 2 * NS_PER_S);
    cr_expect_eq(options.services.count, 1);
    cr_expect_eq(options.threads, 1);
    conf_done(&sample_program, &options);
    conf_done(&sample_program, &fresh);
}

Test(runtime, apply_of_the_same_changes_nothing)
{
    struct sample_options options = SAMPLE_OK("--dispatchers=1@127.0.0.1:1", "--redis=unix:/a");
    struct sample_options fresh = SAMPLE_OK("--dispatchers=1@127.0.0.1:1", "--redis=unix:/a");
    struct differences differences = {.changed_count = 0};
    conf_apply(&sample_program, &options, &fresh, on_change, on_refused, &differences);
    cr_expect_eq(differences.changed_count + differences.refused_count, 0);
    conf_done(&sample_program, &options);
    conf_done(&sample_program, &fresh);
}
