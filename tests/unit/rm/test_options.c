/* What rm can be told, beyond what the rows of its options say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rm/options.h"

static struct rm_options options;
static struct conf_error why;

static int factors_check(const char *value)
{
    char name[] = "usher-rm", option[] = "--weight-factors", text[64];
    char *argv[] = {name, option, text, NULL};
    (void)snprintf(text, sizeof(text), "%s", value);
    why.text[0] = '\0';
    int error = conf_parse(&rm_conf, 3, argv, &options, NULL, &why);
    cr_assert_eq(error, 0, "%s", why.text);
    error = rm_check(&options, &why);
    conf_done(&rm_conf, &options);
    return error;
}

Test(rm_options, weight_factors_out_of_range_are_refused)
{
    static const char *const wrong[] = {"cpu=0", "cpu=1e-8", "nic=0.000009", "memory=1001", "cpu=1000000"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(factors_check(wrong[i]), -EINVAL, "%s", wrong[i]);
        cr_expect_not_null(strstr(why.text, "write a number of 0.00001..1000"), "%s", why.text);
    }
}

Test(rm_options, weight_factors_within_range_are_taken)
{
    cr_expect_eq(factors_check("cpu=0.00001,memory=1000"), 0, "%s", why.text);
    cr_expect_eq(factors_check("disk=0.5"), 0, "%s", why.text);
}
