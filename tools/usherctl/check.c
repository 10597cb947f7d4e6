#include "tools/usherctl/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/exit_code.h"
#include "tools/usherctl/connection.h"

#define NAME_BYTES_MAX 200

/* What is wrong at any daemon that shows so, beside what its health says. A Redis and a directory that are not well are its health's. */
static const struct {
    const char *metric;
    bool least; /* wrong below the limit, not above */
    double limit;
    enum check_result result;
    bool follows; /* from what makes a daemon unhealthy, whose reason is enough then */
    const char *text;
} rules[] = {
    {"usher_directory_nodes", true, 1, CHECK_CRITICAL, true, "no nodes in the directory"},
    {"usher_node_rm_up", true, 1, CHECK_WARNING, true, "a resource manager does not acknowledge heartbeats"},
    {"usher_protection_active", false, 0, CHECK_WARNING, false, "so many nodes expired together that they are kept"},
    {"usher_last_reload_success", true, 1, CHECK_WARNING, false, "the last reload found a mistake in the configuration"},
};

struct check {
    enum check_result result;
    struct buffer text; /* what is wrong */
    struct buffer data; /* for graphs */
};

static const char *result_name(enum check_result result)
{
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    return names[result];
}

enum check_result check_fail(enum check_result result, const char *why)
{
    printf("USHER %s - %s\n", result_name(result), why);
    return result;
}

/* Unknown is worse than a warning and less than what is known to be critical. */
static void note(struct check *check, enum check_result result, const char *text)
{
    static const int rank[] = {[CHECK_OK] = 0, [CHECK_WARNING] = 1, [CHECK_UNKNOWN] = 2, [CHECK_CRITICAL] = 3};
    if (rank[result] > rank[check->result])
        check->result = result;
    (void)!buffer_print(&check->text, "%s%s", check->text.length ? "; " : "", text);
}

/* Behind the label `name="value"` that begins here. */
static const char *label_end(const char *label)
{
    const char *end = label + strcspn(label, "\"");
    for (end += *end == '"'; *end != '\0' && *end != '"'; end++)
        end += end[0] == '\\' && end[1] != '\0';
    return end + (*end == '"');
}

/* The label that begins here, or behind a comma; its length is 0 at the end. */
static const char *label_next(const char *labels, size_t *ret_length)
{
    const char *label = labels + (*labels == ',');
    *ret_length = *label == '}' || *label == '\0' ? 0 : (size_t)(label_end(label) - label);
    return label;
}

static bool has_label(const char *labels, const char *wanted, size_t wanted_length)
{
    size_t length;
    for (const char *label = label_next(labels, &length); length > 0; label = label_next(label + length, &length))
        if (length == wanted_length && memcmp(label, wanted, length) == 0)
            return true;
    return false;
}

/* Whether a series is of the metric asked for: has its name, and all labels that are given with it. */
static bool series_is(const char *series, const char *metric)
{
    size_t name_length = strcspn(metric, "{"), length;
    if (strncmp(series, metric, name_length) != 0 || (series[name_length] != '\0' && series[name_length] != '{'))
        return false;
    if (metric[name_length] == '\0')
        return true;
    const char *labels = series[name_length] == '{' ? series + name_length + 1 : "";
    for (const char *label = label_next(metric + name_length + 1, &length); length > 0;
         label = label_next(label + length, &length))
        if (!has_label(labels, label, length))
            return false;
    return true;
}

static void rules_apply(struct check *check, const json_t *stats)
{
    const char *series;
    json_t *value;
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        bool wrong = false;
        json_object_foreach((json_t *)(uintptr_t)stats, series, value)
        {
            double number = json_number_value(value);
            if (series_is(series, rules[i].metric))
                wrong = wrong || (rules[i].least ? number < rules[i].limit : number > rules[i].limit);
        }
        if (wrong && !(rules[i].follows && check->result == CHECK_CRITICAL))
            note(check, rules[i].result, rules[i].text);
    }
}

struct condition {
    char metric[NAME_BYTES_MAX + 1];
    double warning;
    double critical; /* NAN: none */
};

static bool condition_parse(const char *text, struct condition *ret_condition)
{
    const char *equals = strrchr(text, '='); /* labels have one too */
    char *end;
    if (!equals || equals == text || (size_t)(equals - text) > NAME_BYTES_MAX)
        return false;
    memcpy(ret_condition->metric, text, (size_t)(equals - text));
    ret_condition->metric[equals - text] = '\0';
    ret_condition->warning = strtod(equals + 1, &end);
    ret_condition->critical = NAN;
    if (end == equals + 1)
        return false;
    if (*end == ':') {
        const char *second = end + 1;
        ret_condition->critical = strtod(second, &end);
        if (end == second)
            return false;
    }
    return *end == '\0' && isfinite(ret_condition->warning) && !isinf(ret_condition->critical);
}

static bool is_past(const struct condition *condition, double limit, double value)
{
    return condition->critical < condition->warning ? value < limit : value > limit;
}

static void condition_apply(struct check *check, const struct condition *condition, const json_t *stats)
{
    char text[NAME_BYTES_MAX + 96];
    const char *series;
    json_t *value;
    bool found = false;
    json_object_foreach((json_t *)(uintptr_t)stats, series, value)
    {
        double number = json_number_value(value);
        if (!series_is(series, condition->metric))
            continue;
        found = true;
        enum check_result result = is_past(condition, condition->warning, number) ? CHECK_WARNING : CHECK_OK;
        if (!isnan(condition->critical) && is_past(condition, condition->critical, number))
            result = CHECK_CRITICAL;
        snprintf(text, sizeof(text), "%s is %g", series, number);
        if (result != CHECK_OK)
            note(check, result, text);
        (void)!buffer_print(&check->data, " '%s'=%g;%g", series, number, condition->warning);
        if (!isnan(condition->critical))
            (void)!buffer_print(&check->data, ";%g", condition->critical);
    }
    snprintf(text, sizeof(text), "no metric %s here (with these labels, if any): `usherctl stats` lists them", condition->metric);
    if (!found)
        note(check, CHECK_UNKNOWN, text);
}

static void health_apply(struct check *check, const json_t *status)
{
    const char *reason = json_string_value(json_object_get(status, "reason"));
    bool healthy = json_is_true(json_object_get(status, "healthy"));
    if (!healthy)
        note(check, CHECK_CRITICAL, reason && reason[0] ? reason : "the daemon says that it is not healthy");
    else if (reason && reason[0])
        note(check, CHECK_WARNING, reason);
}

static void check_print(const struct check *check, const json_t *status)
{
    const char *program = json_string_value(json_object_get(status, "program"));
    const char *listen = json_string_value(json_object_get(status, "listen"));
    printf("USHER %s - %s on %s%s%.*s%s%.*s\n", result_name(check->result), program ? program : "a daemon", listen ? listen : "?",
           check->text.length ? ": " : "", (int)check->text.length, check->text.length ? (const char *)check->text.bytes : "",
           check->data.length ? " |" : "", (int)check->data.length, check->data.length ? (const char *)check->data.bytes : "");
}

static int ask(const char *path, const char *command, uint64_t timeout_ns, json_t **ret_answer, enum check_result *ret_result)
{
    struct conf_error why = {.text = ""};
    int code = connection_call(path, &command, 1, timeout_ns, ret_answer, &why);
    if (code != EXIT_CODE_OK) {
        *ret_result = check_fail(code == EXIT_CODE_UNREACHABLE ? CHECK_CRITICAL : CHECK_UNKNOWN, why.text);
        return code;
    }
    if (json_is_true(json_object_get(*ret_answer, "ok")))
        return EXIT_CODE_OK;
    const char *text = json_string_value(json_object_get(*ret_answer, "text"));
    *ret_result = check_fail(CHECK_UNKNOWN, text ? text : "the daemon does not say how it is");
    json_decref(*ret_answer);
    return EXIT_CODE_FAILED;
}

enum check_result check_run(const char *path, const char *const *conditions, size_t count, uint64_t timeout_ns)
{
    struct condition condition;
    struct check check = {.result = CHECK_OK};
    enum check_result failed;
    json_t *status, *stats;
    for (size_t i = 0; i < count; i++) {
        char text[NAME_BYTES_MAX + 128];
        snprintf(text, sizeof(text), "\"%.120s\" is no condition: give METRIC=WARNING or METRIC=WARNING:CRITICAL", conditions[i]);
        if (!condition_parse(conditions[i], &condition))
            return check_fail(CHECK_UNKNOWN, text);
    }
    if (ask(path, "status", timeout_ns, &status, &failed) != EXIT_CODE_OK)
        return failed;
    if (ask(path, "stats", timeout_ns, &stats, &failed) != EXIT_CODE_OK) {
        json_decref(status);
        return failed;
    }
    const json_t *series = json_object_get(stats, "stats");
    health_apply(&check, status);
    rules_apply(&check, series);
    for (size_t i = 0; i < count; i++)
        if (condition_parse(conditions[i], &condition))
            condition_apply(&check, &condition, series);
    check_print(&check, status);
    buffer_done(&check.text);
    buffer_done(&check.data);
    json_decref(status);
    json_decref(stats);
    return check.result;
}
