#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/ask.h"

static struct load_ask_options options;
static struct engine_config config;
static struct conf_error why;

#define WORDS_MAX 16

/* The words are separated by single spaces; a dispatcher is added where there is none. */
static int configure(const char *words)
{
    char text[256], *argv[WORDS_MAX], *next = text;
    int argc = 0;
    snprintf(text, sizeof(text), "ask %s%s", strstr(words, "--dispatcher") ? "" : "--dispatcher 127.0.0.1:7400 ", words);
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

Test(ask, options_of_other_protocols_are_refused)
{
    refuses(configure("--proto dns"), "--query");
    refuses(configure("--query a.example"), "--proto dns");
    refuses(configure("--proto resp"), "--command");
    refuses(configure("--command PING"), "--proto resp");
    refuses(configure("--proto resp --command PING --echo"), "--echo is for");
    refuses(configure("--proto dns --query a.example --gso"), "--gso is for");
    refuses(configure("--proto dns --query a.example --pack 2"), "--pack is for");
    refuses(configure("--proto dns --query a.example --nodes 127.0.0.1:1"), "--nodes is for");
    refuses(configure("--proto dns --query a.example --depth 40000 --connections 2"), "65536");
    refuses(configure("--proto dns --query a..example"), "--query \"a..example\"");
}

Test(ask, super_datagrams_have_their_bounds)
{
    refuses(configure("--gso --depth 65"), "must fill super-datagrams");
    refuses(configure("--gso --pack 2 --depth 33"), "must fill super-datagrams");
    refuses(configure("--gso --requests 100"), "multiple of --depth");
    refuses(configure("--gso --pack 28 --depth 1792"), "super-datagram");
    cr_assert_eq(configure("--gso"), 0);
    cr_assert_eq(config.group, ENGINE_SEGMENTS_MAX);
    cr_assert_eq(configure("--gso --depth 256"), 0);
    cr_assert_eq(config.group, ENGINE_SEGMENTS_MAX);
    cr_assert_eq(configure("--gso --depth 16 --pack 4 --rate 1000"), 0);
    cr_assert_eq(config.segments, 4);
    cr_assert_eq(config.group, 16);
}

Test(ask, threads_and_dispatchers_need_connections)
{
    refuses(configure("--threads 2"), "more --connections");
    refuses(configure("--dispatcher 127.0.0.1:7400,127.0.0.1:7401"), "at least one for each");
    cr_assert_eq(configure("--dispatcher 127.0.0.1:7400,127.0.0.1:7401 --connections 2 --threads 2"), 0);
    cr_assert_eq(config.server_count, 2);
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
    cr_assert_eq(engine_request_bytes(&config, &why), 76, "with IPv6 nodes, whoever is asked");
    cr_assert_eq(configure("--dispatcher [::1]:7400"), 0);
    cr_assert_eq(engine_request_bytes(&config, &why), 56);
    cr_assert_eq(configure("--pack 22"), 0);
    cr_assert_eq(engine_request_bytes(&config, &why), 56);
    cr_assert_eq(configure("--pack 28"), 0);
    cr_assert_eq(engine_request_bytes(&config, &why), 44, "so many only fit with IPv4 nodes");
}
