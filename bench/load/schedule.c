#include "bench/load/schedule.h"

#include <math.h>

/* 1 - unit is in (0, 1], whose logarithm is finite. */
static double schedule_exponential_ns(struct schedule *schedule)
{
    return -log(1 - random_unit(&schedule->random)) * schedule->interval_ns;
}

void schedule_init(struct schedule *schedule, enum schedule_arrivals arrivals, double rate, uint64_t start_ns, uint64_t seed)
{
    *schedule = (struct schedule){
        .arrivals = arrivals,
        .interval_ns = (double)NS_PER_S / rate,
        .start_ns = start_ns,
    };
    random_init(&schedule->random, seed);
    if (arrivals == SCHEDULE_POISSON)
        schedule->offset_ns = schedule_exponential_ns(schedule);
}

void schedule_advance(struct schedule *schedule)
{
    schedule->index++;
    if (schedule->arrivals == SCHEDULE_POISSON)
        schedule->offset_ns += schedule_exponential_ns(schedule);
    else
        schedule->offset_ns = (double)schedule->index * schedule->interval_ns;
}
