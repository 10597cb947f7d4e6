/* What --attach is made of, as pure code: numbers on pages, tables of connections, rise and fall. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/node/attach_connections.h"
#include "core/node/attach_diag.h"
#include "core/node/attach_health.h"
#include "core/node/attach_metric.h"

static double find(const char *page, const char *name)
{
    double value = -1;
    int r = attach_metric_find(page, strlen(page), name, &value);
    return r < 0 ? r : value;
}

Test(metric, page_without_the_name_is_an_error)
{
    cr_expect_eq(find("", "x"), -ENOENT);
    cr_expect_eq(find("x", "x"), -ENOENT);
    cr_expect_eq(find("xy 1\n# x 2\n", "x"), -ENOENT, "the name ends where it ends, and comments don't count");
    cr_expect_eq(find("y{a=\"x 1\"} 2\n", "x"), -ENOENT);
}

Test(metric, what_is_no_number_is_an_error)
{
    cr_expect_eq(find("x abc\n", "x"), -ERANGE);
    cr_expect_eq(find("x \n", "x"), -ERANGE);
    cr_expect_eq(find("x 1,5\n", "x"), -ERANGE);
    cr_expect_eq(find("x NaN\n", "x"), -ERANGE);
    cr_expect_eq(find("x +Inf\n", "x"), -ERANGE);
    cr_expect_eq(find("x -1\n", "x"), -ERANGE);
    cr_expect_eq(find("x 1e39\n", "x"), -ERANGE, "no float holds it");
    cr_expect_eq(find("x 5e9\n", "x"), -ERANGE, "no number of jobs holds it");
    cr_expect_eq(find("x 1e9\nx 1\n", "x"), -ERANGE, "nor a sum");
    cr_expect_eq(find("x{a=\"b 5", "x"), -ERANGE, "labels that never end");
}

Test(metric, zero_bytes_separate_nothing)
{
    static const char page[] = "x\0 5\nx \0 6\n";
    double value = -1;
    cr_expect_eq(attach_metric_find(page, 5, "x", &value), -ENOENT);
    cr_expect_eq(attach_metric_find(page, sizeof(page) - 1, "x", &value), -ERANGE);
    cr_expect_eq(value, -1, "untouched on failure");
}

Test(metric, prometheus_lines_are_read_and_added_up)
{
    cr_expect_eq(find("# HELP x y\n# TYPE x gauge\nx 12.5\n", "x"), 12.5);
    cr_expect_eq(find("x 1e2 1700000000\r\n", "x"), 100);
    cr_expect_eq(find("x{a=\"}\\\"{\"} 2\nx{a=\"c\"} 3\nx_total 9\n", "x"), 5);
    cr_expect_eq(find("x{a=\"b\"} 2\nx{a=\"c\"} 3", "x{a=\"c\"}"), 3);
}

Test(metric, stub_status_is_read)
{
    cr_expect_eq(find("Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \n"
                      "Reading: 6 Writing: 179 Waiting: 106 \n",
                      "Active connections"),
                 291);
    cr_expect_eq(find("Reading: 6 Writing: 179 Waiting: 106 \n", "Reading"), 6);
    cr_expect_eq(find("BusyWorkers: 3\nbusy = 4\n", "busy"), 4);
}

static struct attach_connections connections;

static void listen_at(const char *text)
{
    struct address address;
    cr_assert_eq(address_parse(text, &address), 0);
    attach_connections_add(&connections, &address);
}

#define TABLE                                                                                                                    \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"                         \
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"            \
    "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n"           \
    "   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1\n"           \
    "   3: 0200007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1\n"           \
    "   4: 0100007F:1F90 0100007F:C352 06 00000000:00000000 00:00000000 00000000     0        0 5 1 0 20 4 30 10 -1\n"

#define TABLE6                                                                                                                   \
    "   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C353 01 00000000:00000000 00:0 0 0\n"          \
    "   1: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:C354 01 00000000:00000000 00:0 0 0\n"

Test(connections, lines_that_are_none_count_nothing)
{
    attach_connections_init(&connections);
    listen_at("127.0.0.1:8080");
    static const char text[] = "\n\nrubbish\n 1: 7F:1F90 x\n 1: ZZ:1F90 00:0000 01\n";
    cr_expect_eq(attach_connections_count(&connections, text, strlen(text)), strlen(text));
    cr_expect_eq(connections.servers[0].counting, 0);
}

Test(connections, established_ones_to_the_port_count)
{
    attach_connections_init(&connections);
    listen_at("127.0.0.1:8080");
    cr_expect_eq(attach_connections_count(&connections, TABLE, strlen(TABLE)), strlen(TABLE));
    cr_expect_eq(connections.servers[0].counting, 2,
                 "by whatever address; neither the listener nor TIME_WAIT nor the client's end");
}

Test(connections, servers_that_share_a_port_are_told_apart_by_address)
{
    attach_connections_init(&connections);
    listen_at("127.0.0.1:8080");
    listen_at("127.0.0.2:8080");
    listen_at("[::1]:8080");
    (void)attach_connections_count(&connections, TABLE, strlen(TABLE));
    (void)attach_connections_count(&connections, TABLE6, strlen(TABLE6));
    cr_expect_eq(connections.servers[0].counting, 2, "one of them in the table of IPv6");
    cr_expect_eq(connections.servers[1].counting, 1);
    cr_expect_eq(connections.servers[2].counting, 1);
}

Test(connections, unfinished_line_waits_for_its_end)
{
    attach_connections_init(&connections);
    listen_at("127.0.0.1:8080");
    size_t length = strlen(TABLE) - 10;
    size_t done = attach_connections_count(&connections, TABLE, length);
    cr_expect_lt(done, length);
    (void)attach_connections_count(&connections, &TABLE[done], strlen(TABLE) - done);
    cr_expect_eq(connections.servers[0].counting, 2);
}

static void kernel_asked(void)
{
    int r = ATTACH_CONNECTIONS_MORE;
    while (r == ATTACH_CONNECTIONS_MORE)
        r = attach_connections_step(&connections);
    cr_expect_eq(r, 0);
    cr_expect_eq(connections.fd, -1);
}

/* Two clients of a server of both families, one of them over IPv6. */
static void clients_connect(uint16_t *ret_port)
{
    static const int off = 0;
    struct sockaddr_in6 name = {.sin6_family = AF_INET6};
    struct sockaddr_in name4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    int server = socket(AF_INET6, SOCK_STREAM, 0), first = socket(AF_INET, SOCK_STREAM, 0),
        second = socket(AF_INET6, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
    cr_assert_eq(bind(server, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(server, 5), 0);
    cr_assert_eq(getsockname(server, (struct sockaddr *)&name, &length), 0);
    name4.sin_port = name.sin6_port;
    cr_assert_eq(connect(first, (struct sockaddr *)&name4, sizeof(name4)), 0);
    name.sin6_addr = in6addr_loopback;
    cr_assert_eq(connect(second, (struct sockaddr *)&name, sizeof(name)), 0);
    for (int i = 0; i < 2; i++) /* established for the server too, which may be later than for the client */
        cr_assert_geq(accept(server, NULL, NULL), 0);
    *ret_port = ntohs(name.sin6_port);
}

static void kernel_is_asked(bool reads_text)
{
    char text[ADDRESS_TEXT_BYTES];
    uint16_t port;
    clients_connect(&port);
    attach_connections_init(&connections);
    connections.reads_text = reads_text;
    listen_at("127.0.0.1:1");
    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    listen_at(text);
    listen_at("127.0.0.1:2");
    kernel_asked();
    cr_expect_eq(connections.servers[0].established, 0);
    cr_expect_eq(connections.servers[1].established, 2, "by either family");
    snprintf(text, sizeof(text), "[::1]:%u", port);
    listen_at(text);
    kernel_asked();
    cr_expect_eq(connections.servers[1].established, 1, "%u", connections.servers[1].established);
    cr_expect_eq(connections.servers[3].established, 1, "by address, where the port is shared");
    cr_expect_eq(connections.reads_text, reads_text);
}

Test(connections, kernel_is_asked_for_the_ports)
{
    kernel_is_asked(false);
}

Test(connections, kernel_s_tables_are_read)
{
    kernel_is_asked(true);
}

static void on_connection(void *ctx, const struct address *local)
{
    char text[ADDRESS_TEXT_BYTES];
    snprintf(ctx, 3 * ADDRESS_TEXT_BYTES, "%s", address_format(local, text));
}

static char told[3 * ADDRESS_TEXT_BYTES];

Test(diag, answers_that_are_none_are_refused)
{
    uint8_t bytes[100] = {0};
    cr_expect_eq(attach_diag_take(bytes, 3, on_connection, told), -EPROTO, "shorter than a header");
    cr_expect_eq(attach_diag_take(bytes, 16, on_connection, told), -EPROTO, "of length 0");
    struct nlmsghdr head = {.nlmsg_len = 100, .nlmsg_type = SOCK_DIAG_BY_FAMILY};
    memcpy(bytes, &head, sizeof(head));
    cr_expect_eq(attach_diag_take(bytes, 99, on_connection, told), -EPROTO, "longer than what came");
    head.nlmsg_len = 87;
    memcpy(bytes, &head, sizeof(head));
    cr_expect_eq(attach_diag_take(bytes, 87, on_connection, told), -EPROTO, "too short for a connection");
    head.nlmsg_type = SOCK_DIAG_BY_FAMILY + 1;
    head.nlmsg_len = 100;
    memcpy(bytes, &head, sizeof(head));
    cr_expect_eq(attach_diag_take(bytes, 100, on_connection, told), -EPROTO, "of another kind");
    cr_expect_str_empty(told);
}

Test(diag, kernel_s_refusal_is_passed_on)
{
    struct {
        struct nlmsghdr head;
        int32_t error;
    } refusal = {.head = {.nlmsg_len = sizeof(refusal), .nlmsg_type = NLMSG_ERROR}, .error = -ENOENT};
    cr_expect_eq(attach_diag_take((const uint8_t *)&refusal, sizeof(refusal), on_connection, told), -ENOENT);
    refusal.head.nlmsg_type = NLMSG_DONE;
    refusal.error = 0;
    cr_expect_eq(attach_diag_take((const uint8_t *)&refusal, sizeof(refusal), on_connection, told), 0);
}

Test(diag, connection_has_its_local_address)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_msg message;
    } one = {.head = {.nlmsg_len = sizeof(one), .nlmsg_type = SOCK_DIAG_BY_FAMILY},
             .message = {.idiag_family = AF_INET6, .id = {.idiag_sport = htons(80)}}};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
    memcpy(one.message.id.idiag_src, mapped, sizeof(mapped));
    cr_expect_eq(attach_diag_take((const uint8_t *)&one, sizeof(one), on_connection, told), ATTACH_DIAG_MORE);
    cr_expect_str_eq(told, "10.0.0.1:80");
}

Test(diag, filter_of_all_ports_is_taken)
{
    uint16_t ports[ATTACHED_MAX];
    uint8_t request[ATTACH_DIAG_REQUEST_BYTES_MAX];
    for (uint32_t i = 0; i < ATTACHED_MAX; i++)
        ports[i] = (uint16_t)(i + 1);
    cr_expect_eq(attach_diag_request(ADDRESS_IPV4, ports, ATTACHED_MAX, request), sizeof(request) - 4);
    attach_connections_init(&connections);
    for (uint32_t i = 0; i < ATTACHED_MAX; i++) {
        char text[ADDRESS_TEXT_BYTES];
        snprintf(text, sizeof(text), "127.0.0.1:%u", i + 1);
        listen_at(text);
    }
    kernel_asked();
    cr_expect_not(connections.reads_text);
}

Test(health, first_check_decides)
{
    struct attach_health health = {.known = false};
    cr_expect(attach_health_take(&health, true, 2, 3));
    cr_expect(health.up);
    health = (struct attach_health){.known = false};
    cr_expect(attach_health_take(&health, false, 2, 3));
    cr_expect_not(health.up);
}

Test(health, falls_after_bad_checks_in_a_row)
{
    struct attach_health health = {.known = true, .up = true};
    cr_expect_not(attach_health_take(&health, false, 2, 3));
    cr_expect_not(attach_health_take(&health, false, 2, 3));
    cr_expect_not(attach_health_take(&health, true, 2, 3));
    cr_expect_not(attach_health_take(&health, false, 2, 3));
    cr_expect_not(attach_health_take(&health, false, 2, 3));
    cr_expect(health.up);
    cr_expect(attach_health_take(&health, false, 2, 3));
    cr_expect_not(health.up);
}

Test(health, rises_after_good_checks_in_a_row)
{
    struct attach_health health = {.known = true, .up = false};
    cr_expect_not(attach_health_take(&health, true, 2, 3));
    cr_expect_not(attach_health_take(&health, false, 2, 3));
    cr_expect_not(attach_health_take(&health, true, 2, 3));
    cr_expect(attach_health_take(&health, true, 2, 3));
    cr_expect(health.up);
}

Test(worst, slow_failures_are_counted_in)
{
    struct attach_config config = {.interval_ns = NS_PER_S, .timeout_ns = 500 * NS_PER_MS, .fall = 3};
    cr_expect_eq(attach_config_worst_ns(&config), 3500 * NS_PER_MS);
    config.timeout_ns = 2 * NS_PER_S;
    cr_expect_eq(attach_config_worst_ns(&config), 8 * NS_PER_S);
}
