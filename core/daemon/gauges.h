/* gauges - values of the moment for /metrics and `usherctl stats`, each declared once in gauges.def. A daemon sets them when
 * somebody asks; a gauge without labels that it did not set is 0, one with labels is absent.
 *
 * Thread: the control loop's. Memory: grows while being set; gauges_done frees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/counters.h"

enum gauge {
#define GAUGE(symbol, programs, name, labels, help) GAUGE_##symbol,
#include "core/daemon/gauges.def"
#undef GAUGE
    GAUGES,
};

struct gauge_row {
    unsigned programs; /* mask of enum counter_program */
    const char *name; /* Prometheus name with its unit at the end */
    const char *labels; /* names of the labels, "service,node", or "" */
    const char *help;
};

extern const struct gauge_row gauge_rows[GAUGES];

struct gauge_value {
    enum gauge gauge;
    double value;
    char *labels; /* `service="echo",node="…"`, escaped; NULL without labels */
};

struct gauges {
    struct gauge_value *item;
    size_t count;
    size_t capacity;
    bool out_of_memory; /* something is missing */
};

/* Once for a gauge without labels. */
void gauge_set(struct gauges *gauges, enum gauge gauge, double value);

/* Once for each combination of labels; as many values as the row has labels, in its order. */
void gauge_set_labelled(struct gauges *gauges, enum gauge gauge, double value, const char *const label_values[]);

void gauges_done(struct gauges *gauges);
