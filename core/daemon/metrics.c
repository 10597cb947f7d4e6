#include "core/daemon/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SERIES_BYTES_MAX 1024

struct loop_stat_row {
    const char *name;
    const char *help;
};

static const struct loop_stat_row loop_stat_rows[LOOP_STATS] = {
#define LOOP_STAT(name, text) {"usher_io_" #name "_total", text},
#include "core/io/loop_stats.def"
#undef LOOP_STAT
};

static int print_head(struct buffer *text, const char *name, const char *type, const char *help)
{
    return buffer_print(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int print_counters(const struct measures *measures, enum counter_program program, struct buffer *text)
{
    const char *last = "";
    int error = 0;
    for (size_t i = 0; i < COUNTERS && error == 0; i++) {
        const struct counter_row *row = &counter_rows[i];
        if (!(row->programs & program))
            continue;
        if (strcmp(last, row->name) != 0)
            error = print_head(text, row->name, "counter", row->help);
        last = row->name;
        if (error == 0)
            error = buffer_print(text, row->labels[0] ? "%s{%s} %" PRIu64 "\n" : "%s%s %" PRIu64 "\n", row->name, row->labels,
                                 measures->counters[i]);
    }
    return error;
}

static int print_loops(const struct measures *measures, struct buffer *text)
{
    int error = 0;
    for (size_t i = 0; i < LOOP_STATS && error == 0; i++) {
        error = print_head(text, loop_stat_rows[i].name, "counter", loop_stat_rows[i].help);
        if (error == 0)
            error = buffer_print(text, "%s %" PRIu64 "\n", loop_stat_rows[i].name, measures->loops[i]);
    }
    return error;
}

/* All values of one gauge stand together, whatever the order in which they were set. */
static int print_gauge(const struct gauges *gauges, enum gauge gauge, struct buffer *text)
{
    const struct gauge_row *row = &gauge_rows[gauge];
    bool seen = false;
    int error = 0;
    for (size_t i = 0; i < gauges->count && error == 0; i++) {
        const struct gauge_value *value = &gauges->item[i];
        if (value->gauge != gauge)
            continue;
        if (!seen)
            error = print_head(text, row->name, "gauge", row->help);
        seen = true;
        if (error == 0 && value->labels)
            error = buffer_print(text, "%s{%s} %.15g\n", row->name, value->labels, value->value);
        else if (error == 0)
            error = buffer_print(text, "%s %.15g\n", row->name, value->value);
    }
    if (error == 0 && !seen && !row->labels[0]) {
        error = print_head(text, row->name, "gauge", row->help);
        if (error == 0)
            error = buffer_print(text, "%s 0\n", row->name);
    }
    return error;
}

int metrics_print(const struct measures *measures, enum counter_program program, struct buffer *text)
{
    int error = measures->gauges.out_of_memory ? -ENOMEM : print_counters(measures, program, text);
    if (error == 0)
        error = print_loops(measures, text);
    for (size_t i = 0; i < GAUGES && error == 0; i++)
        if (gauge_rows[i].programs & program)
            error = print_gauge(&measures->gauges, (enum gauge)i, text);
    return error;
}

static int add_series(json_t *object, const char *name, const char *labels, json_t *value)
{
    char series[SERIES_BYTES_MAX];
    if (labels && labels[0])
        snprintf(series, sizeof(series), "%s{%s}", name, labels);
    else
        snprintf(series, sizeof(series), "%s", name);
    return json_object_set_new(object, series, value) < 0 ? -ENOMEM : 0;
}

int metrics_to_json(const struct measures *measures, enum counter_program program, json_t *object)
{
    int error = measures->gauges.out_of_memory ? -ENOMEM : 0;
    for (size_t i = 0; i < COUNTERS && error == 0; i++)
        if (counter_rows[i].programs & program)
            error =
                add_series(object, counter_rows[i].name, counter_rows[i].labels, json_integer((json_int_t)measures->counters[i]));
    for (size_t i = 0; i < LOOP_STATS && error == 0; i++)
        error = add_series(object, loop_stat_rows[i].name, NULL, json_integer((json_int_t)measures->loops[i]));
    for (size_t i = 0; i < measures->gauges.count && error == 0; i++) {
        const struct gauge_value *value = &measures->gauges.item[i];
        error = add_series(object, gauge_rows[value->gauge].name, value->labels, json_real(value->value));
    }
    return error;
}

static int document_row(struct buffer *text, unsigned programs, const char *name, const char *labels, const char *help)
{
    return buffer_print(text, "| `%s` | %s%s%s | %s%s%s%s%s | %s |\n", name, labels[0] ? "`" : "", labels, labels[0] ? "`" : "",
                        programs & COUNTER_RM ? "rm" : "", programs & COUNTER_RM && programs & COUNTER_DISPATCHER ? ", " : "",
                        programs & COUNTER_DISPATCHER ? "dispatcher" : "",
                        programs & COUNTER_WORKER && programs & ~(unsigned)COUNTER_WORKER ? ", " : "",
                        programs & COUNTER_WORKER ? "worker" : "", help);
}

int metrics_document(struct buffer *text)
{
    static const char head[] = "| name | labels | programs | meaning |\n|---|---|---|---|\n";
    int error = buffer_print(text,
                             "# Metrics\n\nServed as Prometheus text on `GET /metrics` of each daemon's `--http` address, and by "
                             "`usherctl stats`. Made from the tables by usher-docs.\n\n## Counters\n\n%s",
                             head);
    for (size_t i = 0; i < COUNTERS && error == 0; i++)
        error = document_row(text, counter_rows[i].programs, counter_rows[i].name, counter_rows[i].labels, counter_rows[i].help);
    if (error == 0)
        error = buffer_print(text, "\n## Counters of the loops, summed\n\n%s", head);
    for (size_t i = 0; i < LOOP_STATS && error == 0; i++)
        error = document_row(text, COUNTER_ALL, loop_stat_rows[i].name, "", loop_stat_rows[i].help);
    if (error == 0)
        error = buffer_print(text, "\n## Gauges\n\n%s", head);
    for (size_t i = 0; i < GAUGES && error == 0; i++)
        error = document_row(text, gauge_rows[i].programs, gauge_rows[i].name, gauge_rows[i].labels, gauge_rows[i].help);
    return error;
}
