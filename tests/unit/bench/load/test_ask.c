#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "bench/load/ask.h"
#include "tests/unit/bench/load/fixture.h"

static struct engine_config config;
static struct conf_error why;

static int configure(const char *words)
{
    struct load_ask_options options;
    fixture_parse(&load_ask_program, words, &options);
    int error = load_ask_configure(&options, &config, &why);
    conf_done(&load_ask_program, &options);
    return error;
}

static void configured(const char *words)
{
    cr_assert_eq(configure(words), 0, "%s: %s", words, why.text);
}

static const struct refused refused[] = {
    {"--rate fast", "--rate \"fast\""},
    {"--rate 0", "--rate \"0\""},
    {"--rate nan", "--rate \"nan\""},
    {"--rate 10x", "--rate \"10x\""},
    {"--rate 1e12", "--rate \"1e12\""},
    {"--rate 10 --depth 2", "--depth is for --rate max"},
    {"--arrivals poisson", "--arrivals needs a --rate"},
    {"--proto tcp --pack 2", "over TCP --depth does the same"},
    {"--pack 4 --depth 3", "--depth is less than --pack"},
    {"--pack 4 --requests 6", "--requests must be a multiple"},
    {"--pack 28 --count 2", "do not fit"},
    {"--connections 60000 --depth 1000", "give less"},
    {"--service no/name", "--service: give"},
    {"--proto dns", "--query NAME"},
    {"--proto dns --gso", "--query NAME"},
    {"--query a.example", "--query is for --proto dns"},
    {"--query-type SRV", "--query-type is for --proto dns"},
    {"--proto resp", "--command 'GET key'"},
    {"--command PING", "--command is for --proto resp"},
    {"--proto resp --command PING --echo", "--echo is for"},
    {"--echo --service sleep", "--service is for dispatchers"},
    {"--proto dns --query a.example --service sleep", "--service is for dispatchers"},
    {"--echo --services 2", "--services is for dispatchers"},
    {"--service a234567890123456789012345678901234567890123456789012345678901 --services 11", "more than 63"},
    {"--proto dns --query a.example --count 2", "--count is for dispatchers"},
    {"--proto dns --query a.example --gso", "--gso is for"},
    {"--proto dns --query a.example --pack 2", "holds one query"},
    {"--proto dns --query a.example --nodes 127.0.0.1:1", "--nodes is for"},
    {"--proto dns --query a.example --depth 40000 --connections 2", "65536"},
    {"--proto dns --query a..example", "--query \"a..example\""},
    {"--gso --depth 65", "must fill super-datagrams"},
    {"--gso --pack 2 --depth 33", "must fill super-datagrams"},
    {"--gso --requests 100", "multiple of what a super-datagram holds"},
    {"--gso --pack 28 --depth 1792", "give 1484 at most"},
    {"--dispatcher 127.0.0.1:0", "--dispatcher 127.0.0.1:0: "},
    {"--threads 2", "more --connections"},
    {"--dispatcher 127.0.0.1:7400,127.0.0.1:7401", "at least one for each"},
    {"--bind 127.0.0.2:1", "without a port"},
    {"--bind 0.0.0.0", "addresses of this machine"},
    {"--bind 192.0.2.1", "--bind 192.0.2.1: sockets cannot be bound to it"},
    {"--dispatcher [::1]:7400 --bind 127.0.0.1", "--bind has no IPv6 address"},
};

Test(ask, options_that_cannot_be_are_refused_by_name)
{
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        cr_expect_eq(configure(refused[i].words), -EINVAL, "%s is taken", refused[i].words);
        cr_expect_not_null(strstr(why.text, refused[i].why), "%s: %s", refused[i].words, why.text);
    }
}

Test(ask, super_datagrams_have_up_to_64_segments)
{
    configured("--gso");
    cr_assert_eq(config.group, ENGINE_SEGMENTS_MAX);
    configured("--gso --depth 256");
    cr_assert_eq(config.group, ENGINE_SEGMENTS_MAX);
    configured("--gso --pack 28");
    cr_assert_eq(config.segments, 53, "as many as fit");
    cr_assert_eq(config.depth, 53 * 28);
    configured("--gso --depth 16 --pack 4 --rate 1000");
    cr_assert_eq(config.segments, 4);
    cr_assert_eq(config.group, 16);
}

Test(ask, several_dispatchers_are_asked)
{
    configured("--dispatcher 127.0.0.1:7400,127.0.0.1:7401 --connections 2 --threads 2");
    cr_assert_eq(config.server_count, 2);
}

Test(ask, sockets_come_from_the_addresses_that_are_given)
{
    configured("--bind 127.0.0.2,::1 --bind 127.0.0.3");
    cr_assert_eq(config.sources.ipv4.count, 2);
    cr_assert_eq(config.sources.ipv4.item[1].ip[3], 3);
    cr_assert_eq(config.sources.ipv6.count, 1);
}

Test(ask, depth_defaults_to_one_datagram)
{
    configured("--pack 4");
    cr_assert_eq(config.depth, 4);
    cr_assert_eq(config.rate, 0);
}

Test(ask, rate_makes_it_an_open_loop)
{
    configured("--rate 2500.5 --arrivals poisson");
    cr_assert_float_eq(config.rate, 2500.5, 1e-9);
    cr_assert_eq(config.arrivals, SCHEDULE_POISSON);
}

Test(ask, requests_are_as_long_as_their_replies)
{
    configured("--count 2");
    cr_assert_eq(engine_request_bytes(&config, &why), 76, "with IPv6 nodes, whoever is asked");
    configured("--dispatcher [::1]:7400");
    cr_assert_eq(engine_request_bytes(&config, &why), 56);
    configured("--pack 22");
    cr_assert_eq(engine_request_bytes(&config, &why), 56);
    configured("--pack 28");
    cr_assert_eq(engine_request_bytes(&config, &why), 44, "so many only fit with IPv4 nodes");
}

Test(ask, requests_over_tcp_are_not_padded)
{
    configured("--proto tcp --count 2");
    cr_assert_eq(engine_request_bytes(&config, &why), 34);
}
