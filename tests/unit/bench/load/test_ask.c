#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/ask.h"

static struct load_ask_options options;
static struct engine_config config;
static struct conf_error why;

#define WORDS_MAX 16

/* The words are separated by single spaces. */
static int configure(const char *words)
{
    char text[256] = "ask --dispatcher 127.0.0.1:7400 ", *argv[WORDS_MAX], *next = text;
    int argc = 0;
    size_t used = strlen(text);
    snprintf(text + used, sizeof(text) - used, "%s", words);
    while (next && argc < WORDS_MAX)
        argv[argc++] = strsep(&next, " ");
    cr_assert_eq(conf_parse(&load_ask_program, argc, argv, &options, NULL, &why), 0, "%s", why.text);
    int error = load_ask_configure(&options, &config, &why);
    conf_done(&load_ask_program, &options);
    return error;
}

static void refuses(int error, const char *text)
{
    cr_assert_eq(error, -EINVAL);
    cr_assert_neq(strstr(why.text, text), NULL, "%s", why.text);
}

Test(ask, rates_that_are_none_are_refused)
{
    refuses(configure("--rate fast"), "--rate \"fast\"");
    refuses(configure("--rate 0"), "--rate");
    refuses(configure("--rate nan"), "--rate");
    refuses(configure("--rate 10x"), "--rate");
    refuses(configure("--rate 1e12"), "--rate");
}

Test(ask, options_that_do_not_go_together_are_refused)
{
    refuses(configure("--rate 10 --depth 2"), "--depth is for --rate max");
    refuses(configure("--arrivals poisson"), "--arrivals needs a --rate");
    refuses(configure("--proto tcp --pack 2"), "--pack is for --proto udp");
    refuses(configure("--pack 4 --depth 3"), "--depth is less than --pack");
    refuses(configure("--pack 4 --requests 6"), "--requests must be a multiple");
    refuses(configure("--connections 60000 --depth 1000"), "give less");
}

Test(ask, more_than_a_datagram_holds_is_refused)
{
    refuses(configure("--pack 28 --count 2"), "do not fit");
    cr_assert_eq(configure("--pack 28"), 0);
}

Test(ask, depth_defaults_to_one_datagram)
{
    cr_assert_eq(configure("--pack 4"), 0);
    cr_assert_eq(config.depth, 4);
    cr_assert_eq(config.rate, 0);
}

Test(ask, rate_makes_it_an_open_loop)
{
    cr_assert_eq(configure("--rate 2500.5 --arrivals poisson"), 0);
    cr_assert_float_eq(config.rate, 2500.5, 1e-9);
    cr_assert_eq(config.arrivals, SCHEDULE_POISSON);
}

Test(ask, requests_are_as_long_as_their_replies)
{
    cr_assert_eq(configure("--count 2"), 0);
    cr_assert_eq(engine_request_bytes(&config), 52);
    cr_assert_eq(configure("--dispatcher [::1]:7400"), 0);
    cr_assert_eq(engine_request_bytes(&config), 56);
}
