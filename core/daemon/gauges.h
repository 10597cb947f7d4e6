/* gauges - values of the moment for /metrics and `usherctl stats`, each declared once in gauges.def. A daemon sets them when
 * somebody looks; what it does not set is 0 for gauges without labels, and absent for those with labels.
 *
 * Thread: the control loop's. Memory: grows in gauge_set, freed by its owner with gauges_done. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/macros.h"

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

#define GAUGE_LABELS_MAX 3

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

/* label values in the order of the row's labels, as many as it has; NULL for those it does not have. */
void gauge_set(struct gauges *gauges, enum gauge gauge, double value);
void gauge_set_labelled(struct gauges *gauges, enum gauge gauge, double value, const char *const label_values[]);
void gauges_done(struct gauges *gauges);
