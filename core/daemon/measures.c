#include "core/daemon/measures.h"

void measures_add_counters(struct measures *measures, const struct counters *block)
{
    for (size_t i = 0; i < COUNTERS; i++)
        measures->counters[i] += counter_read(block, (enum counter)i);
}

void measures_add_loop(struct measures *measures, const struct loop *loop)
{
    const struct loop_stats *stats = loop_stats(loop);
#define LOOP_STAT(name, text) measures->loops[LOOP_STAT_##name] += atomic_load_explicit(&stats->name, memory_order_relaxed);
#include "core/io/loop_stats.def"
#undef LOOP_STAT
}

void measures_done(struct measures *measures)
{
    gauges_done(&measures->gauges);
}
