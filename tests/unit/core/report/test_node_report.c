/* What operators are told of a node. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/report/node_report.h"

static const char *logged(enum heartbeat_state state, const char *text)
{
    static char line[1024];
    struct heartbeat_rm rm = {.state = state, .region = 4};
    cr_assert_eq(address_parse("127.0.0.1:7300", &rm.address), 0);
    cr_redirect_stderr();
    node_report_rm(NULL, &rm, text);
    fflush(stderr);
    FILE *log = cr_get_redirected_stderr();
    cr_assert_not_null(fgets(line, sizeof(line), log));
    return line;
}

Test(node_report, refusal_is_logged_with_its_reason)
{
    const char *line = logged(HEARTBEAT_REFUSED, "another region");
    cr_expect_not_null(strstr(line, "error heartbeats-refused rm=127.0.0.1:7300 reason=\"another region\""), "%s", line);
}

Test(node_report, silence_is_logged)
{
    const char *line = logged(HEARTBEAT_LOST, "");
    cr_expect_not_null(strstr(line, "warn heartbeats-unanswered rm=127.0.0.1:7300"), "%s", line);
}

Test(node_report, what_came_instead_of_an_acknowledgement_is_logged)
{
    const char *line = logged(HEARTBEAT_LOST, "it answered 502");
    cr_expect_not_null(strstr(line, "warn heartbeats-failing rm=127.0.0.1:7300 reason=\"it answered 502\""), "%s", line);
}

Test(node_report, answer_is_logged)
{
    const char *line = logged(HEARTBEAT_REACHED, "");
    cr_expect_not_null(strstr(line, "info heartbeats-acknowledged rm=127.0.0.1:7300 region=4"), "%s", line);
}

static double gauge_value(const struct gauges *gauges, enum gauge gauge, const char *labels)
{
    for (size_t i = 0; i < gauges->count; i++)
        if (gauges->item[i].gauge == gauge && (labels == NULL || strcmp(gauges->item[i].labels, labels) == 0))
            return gauges->item[i].value;
    cr_assert_fail("gauge %s %s is not set", gauge_rows[gauge].name, labels != NULL ? labels : "");
    return 0;
}

Test(node_report, all_gauges_of_nodes_are_set_for_both_programs)
{
    struct measures measures = {.gauges = {.count = 0}};
    struct address rm;
    struct loop_config loop_config;
    struct loop *loop;
    struct node *node;
    cr_assert_eq(address_parse("127.0.0.1:7300", &rm), 0);
    loop_config_init(&loop_config);
    loop_config.kind = LOOP_EPOLL;
    cr_assert_eq(loop_new(&loop_config, &loop), 0);
    struct node_config config = {
        .loop = loop,
        .kind = WIRE_NODE_DISPATCHER,
        .boot_id = 1,
        .region = 1,
        .rms = &rm,
        .rm_count = 1,
        .slots = 3,
        .queue_max = 1,
        .heartbeat_ns = NS_PER_S,
        .load_window_ns = NS_PER_S,
        .load_samples = 1,
        .load_weights = {1},
        .queue_factor = 1,
        .sleep_factor = 1,
    };
    cr_assert_eq(node_new(&config, &node), 0);
    node_report_measure(node, &measures);
    cr_expect_eq(gauge_value(&measures.gauges, GAUGE_NODE_SLOTS, NULL), 3);
    cr_expect_eq(gauge_value(&measures.gauges, GAUGE_JOBS_QUEUED, NULL), 0);
    cr_expect_eq(gauge_value(&measures.gauges, GAUGE_NODE_CONNECTIONS, NULL), 0);
    cr_expect_eq(gauge_value(&measures.gauges, GAUGE_NODE_RM_UP, "rm=\"127.0.0.1:7300\""), 0);
    cr_expect_eq(gauge_rows[GAUGE_NODE_RM_UP].programs, COUNTER_NODES);
    measures_done(&measures);
    node_free(node);
    loop_free(loop);
}
