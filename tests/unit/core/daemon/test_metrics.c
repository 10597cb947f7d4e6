/* /metrics as Prometheus wants it: HELP and TYPE once for a name, no series twice. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/daemon/metrics.h"

#define NAMES_MAX 512

static struct measures measures;
static struct buffer text;

static const char *print(enum counter_program program)
{
    buffer_done(&text);
    cr_assert_eq(metrics_print(&measures, program, &text), 0);
    cr_assert_eq(buffer_append(&text, "", 1), 0);
    return (const char *)text.bytes;
}

/* Every line's first `words` words are unique among lines that begin with `prefix`. */
static void expect_unique(const char *page, const char *prefix, const char *end_of_key)
{
    static char keys[NAMES_MAX][256];
    size_t count = 0;
    for (const char *line = page; *line; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, prefix, strlen(prefix)) != 0 || (prefix[0] != '#' && line[0] == '#'))
            continue;
        const char *begin = line + strlen(prefix);
        snprintf(keys[count], sizeof(keys[count]), "%.*s", (int)strcspn(begin, end_of_key), begin);
        for (size_t i = 0; i < count; i++)
            cr_expect_str_neq(keys[i], keys[count]);
        cr_assert_lt(++count, NAMES_MAX);
    }
    cr_expect_gt(count, 3);
}

Test(metrics, missing_memory_is_no_half_page)
{
    struct buffer page = {0};
    measures.gauges.out_of_memory = true;
    cr_expect_lt(metrics_print(&measures, COUNTER_RM, &page), 0);
    cr_expect_eq(page.length, 0);
}

Test(metrics, names_and_series_appear_once)
{
    for (unsigned program = COUNTER_RM; program <= COUNTER_WORKER; program *= 2) {
        const char *page = print((enum counter_program)program);
        expect_unique(page, "# HELP ", " ");
        expect_unique(page, "# TYPE ", " ");
        expect_unique(page, "", " ");
    }
}

Test(metrics, rows_of_a_name_share_their_help)
{
    for (size_t i = 0; i < COUNTERS; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(counter_rows[i].name, counter_rows[j].name) == 0)
                cr_expect_str_eq(counter_rows[i].help, counter_rows[j].help);
}

Test(metrics, counter_names_say_that_they_are_totals)
{
    for (size_t i = 0; i < COUNTERS; i++) {
        const char *name = counter_rows[i].name;
        cr_expect_eq(strncmp(name, "usher_", 6), 0, "%s", name);
        cr_expect_str_eq(name + strlen(name) - 6, "_total", "%s", name);
    }
}

Test(metrics, counters_are_there_at_zero_and_count)
{
    cr_expect_not_null(strstr(print(COUNTER_DISPATCHER), "\nusher_picks_total{result=\"ok\"} 0\n"));
    cr_expect_null(strstr(print(COUNTER_RM), "usher_picks_total"), "not of this program");
    measures.counters[COUNTER_PICKS_OK] = UINT64_MAX;
    cr_expect_not_null(strstr(print(COUNTER_DISPATCHER), "\nusher_picks_total{result=\"ok\"} 18446744073709551615\n"));
}

Test(metrics, gauges_with_labels_stand_together_and_are_escaped)
{
    gauge_set_labelled(&measures.gauges, GAUGE_BUILD, 1, (const char *const[]){"a\"b\\c\nd"});
    gauge_set(&measures.gauges, GAUGE_DRAINING, 0.25);
    gauge_set_labelled(&measures.gauges, GAUGE_BUILD, 2, (const char *const[]){"e"});
    const char *page = print(COUNTER_WORKER);
    cr_expect_not_null(strstr(page, "usher_build_info{version=\"a\\\"b\\\\c\\nd\"} 1\nusher_build_info{version=\"e\"} 2\n"));
    cr_expect_not_null(strstr(page, "# TYPE usher_draining gauge\nusher_draining 0.25\n"));
    gauges_done(&measures.gauges);
}

Test(metrics, json_has_the_same_series)
{
    json_t *object = json_object();
    measures.counters[COUNTER_PICKS_OK] = 7;
    gauge_set(&measures.gauges, GAUGE_DRAINING, 1);
    cr_assert_eq(metrics_to_json(&measures, COUNTER_DISPATCHER, object), 0);
    cr_expect_eq(json_integer_value(json_object_get(object, "usher_picks_total{result=\"ok\"}")), 7);
    cr_expect_eq(json_real_value(json_object_get(object, "usher_draining")), 1.0);
    json_decref(object);
    gauges_done(&measures.gauges);
}
