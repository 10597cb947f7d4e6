#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "bench/load/run.h"
#include "tests/unit/bench/load/fixture.h"

#define DISPATCHERS "--dispatcher 127.0.0.1:7400,127.0.0.1:7401"

static struct jobs_config config;
static struct conf_error why;

static int configure(const char *words)
{
    struct load_run_options options;
    fixture_parse(&load_run_program, words, &options);
    int error = load_run_configure(&options, &config, &why);
    conf_done(&load_run_program, &options);
    return error;
}

static const struct refused refused[] = {
    {"--rate 10 --depth 2", "--depth is for --rate max"},
    {"--arrivals poisson", "--arrivals needs a --rate"},
    {"--data-size 10", "--data-size is not for"},
    {"--service echo --service-time 10ms", "--service-time is for"},
    {"--service-time soon", "--service-time \"soon\""},
    {DISPATCHERS " --connections 1", "at least one for each"},
    {"--dispatcher 127.0.0.1:7400,127.0.0.1:0", "--dispatcher 127.0.0.1:0: "},
    {"--rate often", "--rate \"often\""},
    {"--bind ::1", "--bind has no IPv4 address"},
};

Test(run, options_that_cannot_be_are_refused_by_name)
{
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        cr_expect_eq(configure(refused[i].words), -EINVAL, "%s is taken", refused[i].words);
        cr_expect_not_null(strstr(why.text, refused[i].why), "%s: %s", refused[i].words, why.text);
    }
}

Test(run, jobs_sleep_for_ten_milliseconds_unless_told_otherwise)
{
    cr_assert_eq(configure(DISPATCHERS), 0);
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
    cr_assert_not(config.sized);
    cr_assert_eq(configure("--service blob --data-size 5000"), 0);
    cr_assert(config.sized && !config.timed);
    cr_assert_eq(config.data_bytes, 5000);
    cr_assert_eq(configure("--service digest --rate 50 --arrivals poisson"), 0);
    cr_assert_float_eq(config.rate, 50, 1e-9);
}
