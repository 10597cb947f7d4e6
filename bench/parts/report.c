#include "bench/parts/report.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/base/version.h"

#ifdef NDEBUG
static const bool built_for_release = true;
#else
static const bool built_for_release = false;
#endif

/* 1: reached, 0: missed, -1: there is none. */
static int goal_met(const struct micro_row *row)
{
    if (row->goal_ns > 0)
        return row->ns.median <= row->goal_ns;
    if (row->goal_ratio > 0)
        return row->ratio.median >= row->goal_ratio;
    return -1;
}

static void goal_print(const struct micro_row *row)
{
    int met = goal_met(row);
    if (met < 0)
        return;
    if (row->goal_ns > 0)
        printf("  %s: at most %.0f ns", met ? "reached" : "MISSED", row->goal_ns);
    else
        printf("  %s: at least %.1fx", met ? "reached" : "MISSED", row->goal_ratio);
}

void report_print(const struct micro *micro)
{
    const char *group = "";
    printf("%-58s %9s  %-15s  %7s  %s\n", "", "ns", "middle half", "best", "times as fast (middle half) as");
    for (uint32_t i = 0; i < micro->row_count; i++) {
        const struct micro_row *row = &micro->rows[i];
        if (strcmp(group, row->group) != 0)
            printf("%s\n", row->group);
        group = row->group;
        printf("  %-56s %9.1f  %6.1f … %-6.1f  %7.1f", row->name, row->ns.median, row->ns.low, row->ns.high, row->ns.best);
        if (row->against[0])
            printf("  %.2f (%.2f … %.2f) %s", row->ratio.median, row->ratio.low, row->ratio.high, row->against);
        goal_print(row);
        if (row->quiet_rounds > 0)
            printf("; %.1f in %u of %u rounds that had the core to themselves", row->quiet.median, row->quiet_rounds,
                   row->rounds);
        else if (row->judged)
            printf("; no round had the core to itself");
        putchar('\n');
    }
    for (uint32_t i = 0; i < micro->note_count; i++)
        printf("note: %s\n", micro->notes[i]);
    if (!built_for_release)
        printf("note: built for debugging: the figures say nothing. Build with cmake --preset release\n");
}

static json_t *spread_json(const struct micro_spread *spread)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "median", spread->median, "low", spread->low, "high", spread->high, "best",
                     spread->best);
}

static json_t *row_json(const struct micro_row *row)
{
    json_t *json = json_pack("{s:s, s:s, s:i, s:o}", "group", row->group, "name", row->name, "rounds", (int)row->rounds, "ns",
                             spread_json(&row->ns));
    if (row->against[0]) {
        json_object_set_new(json, "against", json_string(row->against));
        json_object_set_new(json, "ratio", spread_json(&row->ratio));
    }
    if (row->judged)
        json_object_set_new(json, "quiet_rounds", json_integer(row->quiet_rounds));
    if (row->quiet_rounds > 0)
        json_object_set_new(json, "quiet_ns", spread_json(&row->quiet));
    if (row->goal_ns > 0)
        json_object_set_new(json, "goal_ns", json_real(row->goal_ns));
    if (row->goal_ratio > 0)
        json_object_set_new(json, "goal_ratio", json_real(row->goal_ratio));
    if (goal_met(row) >= 0)
        json_object_set_new(json, "goal_met", json_boolean(goal_met(row)));
    return json;
}

json_t *report_json(const struct micro *micro)
{
    struct utsname system;
    json_t *rows = json_array(), *notes = json_array();
    for (uint32_t i = 0; i < micro->row_count; i++)
        json_array_append_new(rows, row_json(&micro->rows[i]));
    for (uint32_t i = 0; i < micro->note_count; i++)
        json_array_append_new(notes, json_string(micro->notes[i]));
    const char *kernel = uname(&system) == 0 ? system.release : "";
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:o}", "version", USHER_VERSION, "kernel", kernel, "compiler", __VERSION__,
                     "release", built_for_release, "rounds", (int)micro->rounds, "rows", rows, "notes", notes);
}
