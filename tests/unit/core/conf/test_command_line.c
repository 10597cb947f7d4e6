/* What is wrong on a command line is said in one clear line; what is right arrives. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/unit/core/conf/sample.h"

Test(command_line, unknown_option_names_the_closest)
{
    cr_expect_str_eq(SAMPLE_ERROR("--lisen", "x"), "unknown option --lisen (did you mean --listen?); --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--haertbeat=1s"),
                     "unknown option --haertbeat (did you mean --heartbeat?); --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--disp"), "unknown option --disp (did you mean --dispatchers?); --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--qqqqqqqqq"), "unknown option --qqqqqqqqq; --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--liason"), "unknown option --liason; --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--rx"), "unknown option --rx; --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("-x"), "unknown option -x; --help lists them all");
    cr_expect_str_eq(SAMPLE_ERROR("--help=3"), "--help takes no value");
    cr_expect_str_eq(SAMPLE_ERROR("-cfile"), "unknown option -cfile; --help lists them all");
}

Test(command_line, endless_option_is_refused)
{
    char option[1000];
    memset(option, 'a', sizeof(option));
    memcpy(option, "--", 2);
    option[sizeof(option) - 1] = '\0';
    cr_expect_lt(strlen(SAMPLE_ERROR(option)), 200);
}

Test(command_line, missing_value_is_named)
{
    cr_expect_str_eq(SAMPLE_ERROR("--listen"), "--listen needs a value: --listen ADDR");
    cr_expect_str_eq(SAMPLE_ERROR("--listen", "--no-jobs"), "--listen needs a value: --listen ADDR");
    cr_expect_str_eq(SAMPLE_ERROR("-c"), "-c needs a value: --config FILE");
}

Test(command_line, missing_required_option_is_named)
{
    struct sample_options options;
    struct conf_error error;
    cr_assert_eq(conf_parse(&sample_program, 1, SAMPLE_ARGV("sample"), &options, NULL, &error), -EINVAL);
    cr_expect_str_eq(error.text, "--rm ADDR[,ADDR] is missing: The resource managers.");
}

Test(command_line, word_is_refused_where_none_belongs)
{
    cr_expect_str_eq(SAMPLE_ERROR("listen"), "unexpected \"listen\"; options begin with --, see --help");
    cr_expect_str_eq(SAMPLE_ERROR("--", "--no-jobs"), "unexpected \"--no-jobs\"; options begin with --, see --help");
}

Test(command_line, values_that_are_none_are_refused)
{
    static const struct {
        const char *argument;
        const char *text;
    } wrong[] = {
        {"--no-jobs=maybe", "--no-jobs: \"maybe\" is neither yes nor no; write no-jobs=yes or no-jobs=no"},
        {"--listen=localhost:80",
         "--listen: \"localhost:80\" is not an address; write ip:port or [ip6]:port (numbers, not names)"},
        {"--bind=1.2.3.4:5", "--bind: \"1.2.3.4:5\" is not an address; write an ip without a port (numbers, not names)"},
        {"--threads=0", "--threads: 0 is out of range; write a number of 1..64"},
        {"--threads=4294967297", "--threads: 4294967297 is out of range; write a number of 1..64"},
        {"--threads=-1", "--threads: \"-1\" is not a whole number; write one of 1..64"},
        {"--threads=1.5", "--threads: \"1.5\" is not a whole number; write one of 1..64"},
        {"--threads=", "--threads: is empty; give it a value or leave it out"},
        {"--seed=18446744073709551616", "--seed: \"18446744073709551616\" is not a whole number; write one of "
                                        "0..18446744073709551615"},
        {"--sleep-factor=nan", "--sleep-factor: \"nan\" is not a number; write one of 0..100"},
        {"--sleep-factor=0x1", "--sleep-factor: \"0x1\" is not a number; write one of 0..100"},
        {"--sleep-factor=-0.5", "--sleep-factor: -0.5 is out of range; write a number of 0..100"},
        {"--heartbeat=1", "--heartbeat: \"1\" is not a time; write one such as 250ms, 1s or 5m"},
        {"--heartbeat=1ms", "--heartbeat: 1ms is out of range; write a time of 10ms..60s"},
        {"--service-time=5s..1s",
         "--service-time: \"5s..1s\" is not a range of times; write one such as 1s..5s, the shorter first, or one time"},
        {"--service-time=1s..2h", "--service-time: 1s..2h is out of range; write a time of 1ms..1h"},
        {"--policy=best", "--policy: \"best\" is not known; choose one of random, two-choices"},
        {"--redis=tcp:", "--redis: \"tcp:\" is not known; choose one of embedded, unix:PATH, tcp:HOST:PORT"},
        {"--redis=", "--redis: is empty; give it a value or leave it out"},
        {"--listen=", "--listen: is empty; give it a value or leave it out"},
        {"--goal=", "--goal: is empty; leave it out, or give it a value. A goal such as p99<1ms."},
        {"--rm=", "--rm: is empty; give it a value or leave it out"},
        {"--rm=127.0.0.1:1,x", "--rm: \"x\" is not an address; write ip:port or [ip6]:port (numbers, not names)"},
        {"--rm=127.0.0.1:1,", "--rm: \"\" is not an address; write ip:port or [ip6]:port (numbers, not names)"},
        {"--dispatchers=0@127.0.0.1:1",
         "--dispatchers: \"0@127.0.0.1:1\" is not a dispatcher; write ip:port or REGION@ip:port with a region of 1..65535"},
        {"--services=echo,,spin", "--services: an item is empty; separate items with one comma"},
        {"--services=ecko", "--services: \"ecko\" is not known; choose one of echo, sleep, spin, exec:NAME=COMMAND"},
        {"--load-weights=cpu", "--load-weights: \"cpu\" is not name=number; write it with a name of cpu|memory|disk|queue"},
        {"--load-weights=cpu=-1", "--load-weights: \"-1\" will not do for cpu; write a number of 0..1000000"},
        {"--load-weights=gpu=1", "--load-weights: \"gpu\" is not known; choose one of cpu, memory, disk, queue"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        cr_expect_str_eq(SAMPLE_ERROR(wrong[i].argument), wrong[i].text);
}

Test(command_line, too_long_values_are_cut_in_the_message)
{
    char value[20000];
    memset(value, '1', sizeof(value));
    memcpy(value, "--rm=", 5);
    value[sizeof(value) - 1] = '\0';
    cr_expect_lt(strlen(SAMPLE_ERROR(value)), 640);
}

Test(command_line, too_many_items_are_refused)
{
    char value[8192] = "--services=echo";
    size_t length = strlen(value);
    for (int i = 0; i < CONF_LIST_ITEMS_MAX; i++, length += 5)
        memcpy(value + length, ",echo", 6);
    cr_expect_str_eq(SAMPLE_ERROR(value), "--services: more than 256 items; give fewer");
}

Test(command_line, defaults_arrive)
{
    struct sample_options options = SAMPLE_OK("--");
    cr_expect_not(options.no_jobs);
    cr_expect_null(options.state_dir);
    cr_expect_str_eq(options.redis, "embedded");
    cr_expect_eq(options.policy, 0);
    cr_expect_eq(options.heartbeat_ns, NS_PER_S);
    cr_expect_eq(options.service_time.max_ns, 5 * NS_PER_S);
    cr_expect_eq(options.listen.port, 7500);
    cr_expect_eq(options.bind.family, ADDRESS_NONE);
    cr_expect_eq(options.services.count, 2);
    cr_expect_eq(options.weights.value[0], 1.0f);
    cr_expect_eq(options.weights.value[3], 0.5f);
    conf_done(&sample_program, &options);
}

Test(command_line, values_arrive_in_both_spellings)
{
    struct sample_options options =
        SAMPLE_OK("--no-jobs", "--threads", "8", "--heartbeat=250ms", "--policy", "two-choices", "--sleep-factor=2.5", "--bind",
                  "127.0.0.2", "--load-weights", "memory=3", "--redis=tcp:127.0.0.1:6379", "--seed=18446744073709551615");
    cr_expect(options.no_jobs);
    cr_expect_eq(options.threads, 8);
    cr_expect_eq(options.heartbeat_ns, 250 * NS_PER_MS);
    cr_expect_eq(options.policy, 1);
    cr_expect_eq(options.factor, 2.5);
    cr_expect_eq(options.bind.family, ADDRESS_IPV4);
    cr_expect_eq(options.weights.value[0], 1.0f, "a weight left out keeps its default");
    cr_expect_eq(options.weights.value[1], 3.0f);
    cr_expect_str_eq(options.redis, "tcp:127.0.0.1:6379");
    cr_expect_eq(options.seed, UINT64_MAX);
    conf_done(&sample_program, &options);
}

Test(command_line, lists_grow_and_replace_their_default)
{
    struct sample_options options =
        SAMPLE_OK("--rm=[::1]:2,127.0.0.1:3", "--services=spin", "--services", "echo,exec:wc=wc -c,-l", "--attach=a=1.2.3.4:5",
                  "--attach", "b=1.2.3.4:6", "--dispatchers=3@127.0.0.1:7400,127.0.0.1:7401");
    cr_expect_eq(options.rm.count, 3);
    cr_expect_eq(options.rm.item[1].family, ADDRESS_IPV6);
    cr_assert_eq(options.services.count, 3);
    cr_expect_str_eq(options.services.item[0], "spin");
    cr_expect_str_eq(options.services.item[2], "exec:wc=wc -c,-l", "a command keeps its commas");
    cr_assert_eq(options.attach.count, 2);
    cr_expect_str_eq(options.attach.item[1], "b=1.2.3.4:6");
    cr_assert_eq(options.dispatchers.count, 2);
    cr_expect_eq(options.dispatchers.item[0].region, 3);
    cr_expect_eq(options.dispatchers.item[1].region, 0);
    conf_done(&sample_program, &options);
}

Test(command_line, last_of_two_single_values_counts)
{
    struct sample_options options = SAMPLE_OK("--threads=2", "--threads=3", "--state-dir=/a", "--state-dir=/b");
    cr_expect_eq(options.threads, 3);
    cr_expect_str_eq(options.state_dir, "/b");
    conf_done(&sample_program, &options);
}

Test(command_line, words_and_options_may_be_mixed)
{
    struct sample_options options;
    struct conf_words words;
    struct conf_error error;
    char **argv = SAMPLE_ARGV("sample", "drain", "--rm", "127.0.0.1:1", "node", "--", "--reason");
    cr_assert_eq(conf_parse(&sample_words_program, 7, argv, &options, &words, &error), 0);
    cr_assert_eq(words.count, 3);
    cr_expect_str_eq(words.item[0], "drain");
    cr_expect_str_eq(words.item[2], "--reason");
    conf_done(&sample_words_program, &options);
}
