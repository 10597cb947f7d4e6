#include "core/daemon/gauges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/check.h"

const struct gauge_row gauge_rows[GAUGES] = {
#define GAUGE(symbol, programs, name, labels, help) {programs, name, labels, help},
#include "core/daemon/gauges.def"
#undef GAUGE
};

static size_t labels_count(const char *labels)
{
    size_t count = *labels != '\0';
    for (; *labels; labels++)
        count += *labels == ',';
    return count;
}

/* Quotes, backslashes and line ends of a value are escaped, as Prometheus wants it. */
static int print_escaped(struct buffer *text, const char *value)
{
    int error = 0;
    for (; *value && error == 0; value++) {
        if (*value == '\n')
            error = buffer_print(text, "\\n");
        else if (*value == '"' || *value == '\\')
            error = buffer_print(text, "\\%c", *value);
        else
            error = buffer_append(text, value, 1);
    }
    return error;
}

/* `service="echo",node="127.0.0.1:7500"`, with a NUL. */
static int print_labels(const char *names, const char *const values[], struct buffer *text)
{
    int error = 0;
    for (size_t i = 0; *names && error == 0; i++) {
        size_t length = strcspn(names, ",");
        error = buffer_print(text, "%s%.*s=\"", i ? "," : "", (int)length, names);
        if (error == 0)
            error = print_escaped(text, values[i]);
        if (error == 0)
            error = buffer_append(text, "\"", 1);
        names += length + (names[length] == ',');
    }
    return error ? error : buffer_append(text, "", 1);
}

static int gauges_add(struct gauges *gauges, struct gauge_value value)
{
    if (gauges->count == gauges->capacity) {
        size_t capacity = gauges->capacity ? gauges->capacity * 2 : 32;
        struct gauge_value *item = realloc(gauges->item, capacity * sizeof(*item));
        if (!item)
            return -ENOMEM;
        gauges->item = item;
        gauges->capacity = capacity;
    }
    gauges->item[gauges->count++] = value;
    return 0;
}

void gauge_set(struct gauges *gauges, enum gauge gauge, double value)
{
    CHECK(labels_count(gauge_rows[gauge].labels) == 0);
    if (gauges_add(gauges, (struct gauge_value){.gauge = gauge, .value = value}) < 0)
        gauges->out_of_memory = true;
}

void gauge_set_labelled(struct gauges *gauges, enum gauge gauge, double value, const char *const label_values[])
{
    struct buffer text = {0};
    CHECK(labels_count(gauge_rows[gauge].labels) > 0);
    int error = print_labels(gauge_rows[gauge].labels, label_values, &text);
    if (error == 0)
        error = gauges_add(gauges, (struct gauge_value){.gauge = gauge, .value = value, .labels = (char *)text.bytes});
    if (error == 0)
        return;
    buffer_done(&text);
    gauges->out_of_memory = true;
}

void gauges_done(struct gauges *gauges)
{
    for (size_t i = 0; i < gauges->count; i++)
        free(gauges->item[i].labels);
    free(gauges->item);
    *gauges = (struct gauges){0};
}
