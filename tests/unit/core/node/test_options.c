/* What can be said to a node wrongly is refused in words. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/node/options.h"

struct options {
    struct node_options node;
};

static const struct conf_table tables[] = {{NODE_TABLE(struct options, node)}};
static const struct conf_program program = {
    .name = "node",
    .summary = "is tested",
    .description = "",
    .options_bytes = sizeof(struct options),
    .tables = tables,
    .table_count = 1,
};

static struct options options;
static struct node_config config;
static struct conf_error why;

#define ARGUMENTS_MAX 8

static int parse(const char *const *arguments, uint32_t count)
{
    char texts[ARGUMENTS_MAX][256];
    char *argv[ARGUMENTS_MAX + 1];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%s", arguments[i]);
        argv[i] = texts[i];
    }
    argv[count] = NULL;
    why.text[0] = '\0';
    int r = conf_parse(&program, (int)count, argv, &options, NULL, &why);
    if (r < 0)
        return r;
    r = node_config_from_options(&options.node, WIRE_NODE_WORKER, &config, &why);
    if (r < 0)
        conf_done(&program, &options);
    return r;
}

#define PARSE(...)                                                                                                               \
    parse((const char *const[]){"node", __VA_ARGS__}, sizeof((const char *const[]){"node", __VA_ARGS__}) / sizeof(char *))

static void expect_refused(int r, const char *words)
{
    cr_expect_eq(r, -EINVAL);
    cr_expect_not_null(strstr(why.text, words), "\"%s\" lacks \"%s\"", why.text, words);
    cr_expect_null(strchr(why.text, '\n'));
}

Test(options, rm_is_needed)
{
    expect_refused(PARSE("--slots", "1"), "--rm");
}

Test(options, rm_must_be_an_address_to_send_to)
{
    expect_refused(PARSE("--rm", "0.0.0.0:7300"), "0.0.0.0:7300 is no address to send to");
    expect_refused(PARSE("--rm", "127.0.0.1:0"), "127.0.0.1:0 is no address to send to");
    expect_refused(PARSE("--rm", "127.0.0.1:1,127.0.0.1:1"), "given twice");
}

Test(options, rm_over_http_given_wrongly_is_refused)
{
    expect_refused(PARSE("--rm", "https://127.0.0.1:7301"), "or http:// and that");
    expect_refused(PARSE("--rm", "http://rm:7301"), "numbers, not names");
    expect_refused(PARSE("--rm", "http://127.0.0.1:7301/v1"), "is not an address");
    expect_refused(PARSE("--rm", "http://127.0.0.1:0"), "no address to send to");
    expect_refused(PARSE("--rm", "127.0.0.1:7301,http://127.0.0.1:7301"), "given twice");
}

Test(options, rms_are_taken_over_both_ways)
{
    cr_assert_eq(PARSE("--rm", "127.0.0.1:7300,http://127.0.0.1:7301", "--rm", "http://[::1]:7301"), 0, "%s", why.text);
    cr_expect_eq(config.rm_count, 3);
    cr_expect_eq(config.rm_http, 6);
    cr_expect_eq(config.rms[2].port, 7301);
    conf_done(&program, &options);
}

static void expect_attach_refused(const char *item, const char *words)
{
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--attach", item), words);
}

static void expect_load_refused(const char *load, const char *words)
{
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--attach", "web=127.0.0.1:80", "--attach-load", load), words);
}

Test(options, attached_server_given_wrongly_is_refused)
{
    expect_attach_refused("127.0.0.1:80", "write NAME=IP:PORT");
    expect_attach_refused("=127.0.0.1:80", "the name before =");
    expect_attach_refused("a b=127.0.0.1:80", "the name before =");
    expect_attach_refused("web=", "must be IP:PORT");
    expect_attach_refused("web=localhost:80", "numbers, not names");
    expect_attach_refused("web=127.0.0.1", "must be IP:PORT");
    expect_attach_refused("web=127.0.0.1:65536", "must be IP:PORT");
    expect_attach_refused("web=127.0.0.1:0", "no address that clients can reach");
    expect_attach_refused("web=0.0.0.0:80", "no address that clients can reach");
    expect_attach_refused("web=https://127.0.0.1:80/", "http:// only");
    expect_attach_refused("web=http://127.0.0.1/", "must be IP:PORT");
    expect_attach_refused("web=http://127.0.0.1:80?x", "begins with /");
    expect_attach_refused("web=http://127.0.0.1:80/a b", "no blanks");
    expect_attach_refused("web=http://127.0.0.1:80/a\r\nX: 1", "no blanks");
}

Test(options, attached_service_twice_on_one_address_is_refused)
{
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--attach", "web=127.0.0.1:80", "--attach", "web=http://127.0.0.1:80/"),
                   "given twice");
}

Test(options, attached_server_of_another_machine_has_no_load_here)
{
    expect_attach_refused("web=192.0.2.1:80", "192.0.2.1:80 is on another machine");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--attach", "web=192.0.2.1:80", "--attach-load", "connections"),
                   "--attach-load connections");
}

Test(options, attached_load_given_wrongly_is_refused)
{
    expect_load_refused("cpu", "cpu");
    expect_load_refused("metric:", "metric:[:PORT]/PATH#NAME");
    expect_load_refused("metric:/metrics", "write metric:/PATH#NAME");
    expect_load_refused("metric:/metrics#", "write metric:/PATH#NAME");
    expect_load_refused("metric:metrics#x", "write metric:/PATH#NAME");
    expect_load_refused("metric::0/metrics#x", "port behind metric:");
    expect_load_refused("metric::70000/metrics#x", "port behind metric:");
    expect_load_refused("metric:/a b#x", "no blanks");
}

Test(options, attached_servers_are_taken)
{
    cr_assert_eq(PARSE("--rm", "127.0.0.1:7300", "--attach", "web=127.0.0.1:80", "--attach=api=http://[::1]:81/health?x=1",
                       "--attach-load=metric::9100/metrics#in_flight{a=\"b\"}"),
                 0, "%s", why.text);
    cr_assert_eq(config.attach.count, 2);
    cr_expect_str_eq(config.attach.targets[0].name, "web");
    cr_expect_str_eq(config.attach.targets[0].path, "");
    cr_expect_str_eq(config.attach.targets[1].path, "/health?x=1");
    cr_expect_eq(config.attach.targets[1].address.port, 81);
    cr_expect_eq(config.attach.load, ATTACH_LOAD_METRIC);
    cr_expect_eq(config.attach.metric.port, 9100);
    cr_expect_str_eq(config.attach.metric.path, "/metrics");
    cr_expect_str_eq(config.attach.metric.name, "in_flight{a=\"b\"}");
    conf_done(&program, &options);
}

Test(options, node_cannot_attach_itself)
{
    cr_assert_eq(PARSE("--rm", "127.0.0.1:7300", "--attach", "web=127.0.0.1:80"), 0, "%s", why.text);
    expect_refused(attach_config_check_own(&config.attach, &config.attach.targets[0].address, &why), "own address");
    conf_done(&program, &options);
}

Test(options, samples_too_close_are_refused)
{
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--load-window", "10ms", "--load-samples", "20"), "less than 1 ms apart");
}

Test(options, services_given_wrongly_are_refused)
{
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "echo,teleport"), "teleport");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "echo,echo"), "same service");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a="), "no command");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a"), "no command");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a=cat,echo"), ",echo\" in exec:a=cat,echo would be part");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a=cat,spin,x"), "would be part of the command");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a=cat,exec:b=tac"), "would be part of the command");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "exec:a b=c"), "must be 1 to 63 characters");
    expect_refused(PARSE("--rm", "127.0.0.1:7300", "--services", "echo,exec:echo=c"), "same service");
}

Test(options, too_many_services_are_refused)
{
    const char *arguments[] = {"node", "--rm", "127.0.0.1:7300", "--services", "echo,sleep,spin,digest,blob"};
    cr_assert_eq(parse(arguments, 5), 0);
    struct service_set set;
    char *texts[NODE_SERVICES_MAX + 1];
    char items[NODE_SERVICES_MAX + 1][32];
    for (uint32_t i = 0; i <= NODE_SERVICES_MAX; i++) {
        snprintf(items[i], sizeof(items[i]), "exec:s%u=true", i);
        texts[i] = items[i];
    }
    struct conf_texts too_many = {.item = texts, .count = NODE_SERVICES_MAX + 1},
                      fit = {.item = texts, .count = NODE_SERVICES_MAX};
    cr_expect_eq(service_set_parse(&too_many, &set, &why), -EINVAL);
    cr_expect_eq(service_set_parse(&fit, &set, &why), 0);
    conf_done(&program, &options);
}

Test(options, defaults_are_those_of_the_design)
{
    cr_assert_eq(PARSE("--rm", "127.0.0.1:7300,127.0.0.1:7301"), 0, "%s", why.text);
    cr_expect_eq(config.rm_count, 2);
    cr_expect_eq(config.region, 1);
    cr_expect_eq(config.services.count, 5);
    cr_expect_geq(config.slots, 1);
    cr_expect_eq(config.queue_max, 1024);
    cr_expect_eq(config.heartbeat_ns, 1000000000);
    cr_expect_eq(config.load_samples, 10);
    cr_expect_float_eq(config.load_weights[LOAD_QUEUE], 0.5, 1e-6);
    cr_expect_eq(config.queue_factor, 1);
    cr_assert_eq(node_config_from_options(&options.node, WIRE_NODE_DISPATCHER, &config, &why), 0);
    cr_expect_eq(config.queue_factor, 1.5f, "requirement D10");
    conf_done(&program, &options);
}

Test(options, command_may_contain_commas)
{
    cr_assert_eq(PARSE("--rm", "127.0.0.1:7300", "--services", "echo,exec:list=printf a,b,c", "--services", "sleep"), 0, "%s",
                 why.text);
    cr_assert_eq(config.services.count, 3);
    cr_expect_str_eq(config.services.items[1].name, "list");
    cr_expect_str_eq(config.services.items[1].command, "printf a,b,c");
    cr_expect_str_eq(config.services.items[2].name, "sleep");
    conf_done(&program, &options);
}
