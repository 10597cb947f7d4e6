/* measures - everything countable about a daemon at one moment: sums of its threads' counters and loops, and its gauges. Filled
 * when somebody asks for /metrics or `usherctl stats`.
 *
 * Thread: the control loop's; counters and loops of other threads are read while they run. Memory: measures_done frees. */
#pragma once

#include <stdint.h>

#include "core/base/counters.h"
#include "core/daemon/gauges.h"
#include "core/io/loop.h"

enum loop_stat {
#define LOOP_STAT(name, text) LOOP_STAT_##name,
#include "core/io/loop_stats.def"
#undef LOOP_STAT
    LOOP_STATS,
};

struct measures {
    uint64_t counters[COUNTERS];
    uint64_t loops[LOOP_STATS];
    struct gauges gauges;
};

void measures_add_counters(struct measures *measures, const struct counters *block);
void measures_add_loop(struct measures *measures, const struct loop *loop);
void measures_done(struct measures *measures);
