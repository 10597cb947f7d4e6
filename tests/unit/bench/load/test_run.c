#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/run.h"
#include "core/base/clock.h"

#define WORDS_MAX 16

static struct load_run_options options;
static struct jobs_config config;
static struct conf_error why;

/* The words are separated by single spaces. */
static int configure(const char *words)
{
    char text[256], *argv[WORDS_MAX], *next = text;
    int argc = 0;
    snprintf(text, sizeof(text), "run --dispatcher 127.0.0.1:7400,127.0.0.1:7401%s%s", *words ? " " : "", words);
    while (next && argc < WORDS_MAX)
        argv[argc++] = strsep(&next, " ");
    cr_assert_eq(conf_parse(&load_run_program, argc, argv, &options, NULL, &why), 0, "%s", why.text);
    int error = load_run_configure(&options, &config, &why);
    conf_done(&load_run_program, &options);
    return error;
}

static void refuses(int error, const char *text)
{
    cr_assert_eq(error, -EINVAL);
    cr_assert_not_null(strstr(why.text, text), "%s", why.text);
}

Test(run, options_that_do_not_go_together_are_refused)
{
    refuses(configure("--rate 10 --depth 2"), "--depth is for --rate max");
    refuses(configure("--arrivals poisson"), "--arrivals needs a --rate");
    refuses(configure("--data-size 10"), "--data-size is not for");
    refuses(configure("--service echo --service-time 10ms"), "--service-time is for");
    refuses(configure("--service-time soon"), "--service-time \"soon\"");
    refuses(configure("--connections 1"), "at least one for each");
    refuses(configure("--rate often"), "--rate");
}

Test(run, jobs_sleep_for_ten_milliseconds_unless_told_otherwise)
{
    cr_assert_eq(configure(""), 0);
    cr_assert(config.timed);
    cr_assert_float_eq(config.service_time.mean_ns, 10e6, 1);
    cr_assert_eq(config.depth, 1);
    cr_assert_eq(config.dispatcher_count, 2);
    cr_assert_geq(config.connections, 2);
}

Test(run, other_services_get_data)
{
    cr_assert_eq(configure("--service echo --data-size 100"), 0);
    cr_assert(config.echoed && !config.timed);
    cr_assert_eq(config.data_bytes, 100);
    cr_assert_eq(configure("--service digest --rate 50 --arrivals poisson"), 0);
    cr_assert_not(config.echoed);
    cr_assert_float_eq(config.rate, 50, 1e-9);
}
