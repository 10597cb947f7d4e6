/* counters - what hot paths do instead of logging: each counter is declared once in counters.def, from which come the names on
 * /metrics, in `usherctl stats` and in docs/METRICS.md.
 *
 * Thread: a block has one writing thread; any thread may read. Blocks are summed when somebody looks.
 * Memory: embedded in its owner. Nothing blocks. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* Programs in which a counter can move; others do not show it. */
enum counter_program {
    COUNTER_RM = 1,
    COUNTER_DISPATCHER = 2,
    COUNTER_WORKER = 4,
    COUNTER_NODES = COUNTER_DISPATCHER | COUNTER_WORKER,
    COUNTER_ALL = 7,
};

enum counter {
#define COUNTER(symbol, programs, name, labels, help) COUNTER_##symbol,
#include "core/base/counters.def"
#undef COUNTER
    COUNTERS,
};

struct counter_row {
    unsigned programs; /* mask of enum counter_program */
    const char *name; /* Prometheus name, ends in _total */
    const char *labels; /* `reason="full"` or "" */
    const char *help; /* the same for all rows of a name */
};

extern const struct counter_row counter_rows[COUNTERS];

struct counters {
    _Atomic uint64_t value[COUNTERS];
};

/* Only the block's own thread: no locked instruction. */
static inline void counter_add(struct counters *counters, enum counter counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(&counters->value[counter], memory_order_relaxed);
    atomic_store_explicit(&counters->value[counter], value + amount, memory_order_relaxed);
}

static inline uint64_t counter_read(const struct counters *counters, enum counter counter)
{
    return atomic_load_explicit(&counters->value[counter], memory_order_relaxed);
}
