#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/report.h"

static struct report *report;

static void setup(void)
{
    report = calloc(1, sizeof(*report));
}

static void teardown(void)
{
    free(report);
}

TestSuite(report, .init = setup, .fini = teardown);

static void add(int error, enum usher_started started)
{
    struct usher_result result = {.error = error, .started = started, .node = "10.0.0.1:1", .region = 3, .attempts = 1};
    report_add(report, &result);
}

Test(report, all_unreachable_ends_with_3)
{
    add(USHER_ERROR_UNREACHABLE, USHER_NOT_STARTED);
    add(USHER_ERROR_UNREACHABLE, USHER_NOT_STARTED);
    cr_assert_eq(report_exit_code(report), EXIT_CODE_UNREACHABLE);
}

Test(report, all_without_node_ends_with_4)
{
    add(USHER_ERROR_NO_NODE, USHER_NOT_STARTED);
    add(USHER_ERROR_NO_SERVICE, USHER_NOT_STARTED);
    cr_assert_eq(report_exit_code(report), EXIT_CODE_NO_NODE);
}

Test(report, different_reasons_end_with_1)
{
    add(USHER_ERROR_NO_NODE, USHER_NOT_STARTED);
    add(USHER_ERROR_UNREACHABLE, USHER_NOT_STARTED);
    cr_assert_eq(report_exit_code(report), EXIT_CODE_FAILED);
}

Test(report, some_failed_ends_with_1)
{
    add(0, USHER_STARTED);
    add(USHER_ERROR_NO_NODE, USHER_NOT_STARTED);
    cr_assert_eq(report_exit_code(report), EXIT_CODE_FAILED);
}

Test(report, failures_are_counted_by_reason_and_start)
{
    add(USHER_ERROR_CONNECTION, USHER_MAYBE_STARTED);
    add(USHER_ERROR_CONNECTION, USHER_MAYBE_STARTED);
    add(USHER_ERROR_CONNECTION, USHER_NOT_STARTED);
    cr_assert_eq(report->failure_count, 2);
    cr_assert_eq(report->failures[0].count, 2);
    cr_assert_eq(report->started_unknown, 2);
}

Test(report, summary_has_regions_and_nodes_of_results)
{
    struct usher_stats stats = {0};
    add(0, USHER_STARTED);
    add(0, USHER_STARTED);
    json_t *summary = report_to_json(report, &stats, 1.5);
    cr_assert_eq(json_integer_value(json_object_get(summary, "ok")), 2);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(summary, "regions"), "3")), 2);
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(summary, "nodes"), "10.0.0.1:1")), 2);
    json_decref(summary);
}

Test(report, results_of_more_nodes_and_regions_than_it_names_are_counted)
{
    struct usher_stats stats = {0};
    for (uint32_t i = 0; i < REPORT_NODES_MAX + 3; i++) {
        struct usher_result result = {.region = (uint16_t)(1 + i % (USHER_STATS_REGIONS_MAX + 1)), .attempts = 1};
        snprintf(result.node, sizeof(result.node), "10.0.%u.%u:1", i / 256, i % 256);
        report_add(report, &result);
        report_add(report, &result);
    }
    json_t *summary = report_to_json(report, &stats, 1.5);
    cr_assert_eq(json_object_size(json_object_get(summary, "nodes")), REPORT_NODES_MAX);
    cr_assert_eq(json_integer_value(json_object_get(summary, "nodes_omitted")), 2 * 3);
    cr_assert_eq(json_object_size(json_object_get(summary, "regions")), USHER_STATS_REGIONS_MAX);
    cr_assert_eq(json_integer_value(json_object_get(summary, "regions_omitted")), 2 * 15, "1,027 nodes in 65 regions by turns");
    json_decref(summary);
}

/* The "result" of a job whose result these bytes are; freed by the caller. */
static json_t *job_with(const char *bytes, size_t length)
{
    uint8_t *data = malloc(length);
    memcpy(data, bytes, length);
    struct usher_result result = {.started = USHER_STARTED, .data = data, .data_bytes = length};
    json_t *job = report_job_to_json(1, &result);
    cr_assert_not_null(job);
    free(data);
    return job;
}

static const char *text_of(const json_t *job, const char *name)
{
    return json_string_value(json_object_get(job, name));
}

Test(report, binary_result_is_in_base64)
{
    json_t *job = job_with("\xff\x00\x01\x02", 4);
    cr_assert_str_eq(text_of(job, "result"), "/wABAg==");
    cr_assert_str_eq(text_of(job, "result_encoding"), "base64");
    json_decref(job);
}

Test(report, long_text_is_cut_between_characters)
{
    static char text[5001];
    memset(text, 'x', 4095);
    for (size_t i = 4095; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    json_t *job = job_with(text, 4999);
    cr_assert_str_eq(text_of(job, "result_encoding"), "text");
    cr_assert_eq(strlen(text_of(job, "result")), 4095);
    cr_assert_eq(json_integer_value(json_object_get(job, "result_bytes")), 4999);
    json_decref(job);
}

Test(report, unknown_start_is_null)
{
    struct usher_result result = {.error = USHER_ERROR_CONNECTION, .started = USHER_MAYBE_STARTED};
    json_t *job = report_job_to_json(1, &result);
    cr_assert(json_is_null(json_object_get(job, "started")));
    cr_assert_str_eq(text_of(job, "error"), "connection-lost");
    json_decref(job);
}
