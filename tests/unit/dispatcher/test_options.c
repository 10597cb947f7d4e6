/* What a dispatcher can be told, beyond what the rows of its options say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/policy/policy.h"
#include "dispatcher/dispatcher.h"

static struct dispatcher_options options;
static struct conf_error why;

/* One option with its value, besides the one that is needed. */
static int parse(const char *name, const char *value)
{
    char texts[5][64] = {"usher-dispatcher", "--rm", "127.0.0.1:7300"};
    char *argv[6] = {texts[0], texts[1], texts[2], texts[3], texts[4], NULL};
    (void)snprintf(texts[3], sizeof(texts[3]), "%s", name);
    (void)snprintf(texts[4], sizeof(texts[4]), "%s", value);
    why.text[0] = '\0';
    return conf_parse(&dispatcher_conf, 5, argv, &options, NULL, &why);
}

Test(options, a_queue_factor_below_1_is_refused)
{
    cr_assert_eq(parse("--queue-factor", "0.5"), 0);
    cr_expect_eq(dispatcher_check(&options, &why), -EINVAL);
    cr_expect_not_null(strstr(why.text, "--queue-factor"));
    conf_done(&dispatcher_conf, &options);
}

Test(options, a_policy_that_is_not_built_is_refused_and_the_others_mean_what_they_are_called)
{
    for (uint32_t i = 0; i < POLICIES; i++) {
        int error = parse("--policy", policy_rows[i].name);
        cr_assert_eq(error, 0, "%s: %s", policy_rows[i].name, why.text);
        if (error < 0)
            continue;
        cr_expect_eq(options.own.policy, i, "%s", policy_rows[i].name);
        cr_expect_eq(dispatcher_check(&options, &why), 0, "%s", why.text);
        conf_done(&dispatcher_conf, &options);
    }
}
