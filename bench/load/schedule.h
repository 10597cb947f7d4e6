/* schedule - when the open loop's datagrams are due: a sequence of planned times that nothing the server does can move.
 *
 * Constant arrivals keep one distance. Poisson arrivals draw each distance from the exponential distribution, as many independent
 * clients would.
 * Invariant: planned times never decrease; the same seed gives the same times. The n-th constant one is computed from n, so that
 * rounding does not add up.
 * Thread: one owner. Pure: the time is handed in. Nothing here blocks or allocates. */
#pragma once

#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/random.h"

/* After an interrupt, what was planned before it is sent for so long at most: whoever interrupts a load wants it to end. */
#define SCHEDULE_CATCH_UP_NS NS_PER_S

/* In the order of --arrivals. */
enum schedule_arrivals {
    SCHEDULE_CONSTANT,
    SCHEDULE_POISSON,
};

struct schedule {
    enum schedule_arrivals arrivals;
    double interval_ns; /* the mean distance */
    uint64_t start_ns;
    uint64_t index; /* of the next arrival */
    double offset_ns; /* of the next arrival from start_ns */
    struct random_state random;
};

/* The first constant arrival is at start_ns. rate: arrivals per second, > 0. */
void schedule_init(struct schedule *schedule, enum schedule_arrivals arrivals, double rate, uint64_t start_ns, uint64_t seed);

/* When the next one is due. */
static inline uint64_t schedule_next_ns(const struct schedule *schedule)
{
    return schedule->start_ns + (uint64_t)schedule->offset_ns;
}

/* When whoever is still behind at an interrupt gives up. */
static inline uint64_t schedule_give_up_ns(uint64_t interrupted_ns, uint64_t timeout_ns)
{
    return interrupted_ns + (timeout_ns < SCHEDULE_CATCH_UP_NS ? timeout_ns : SCHEDULE_CATCH_UP_NS);
}

/* Goes on to the one after that. */
void schedule_advance(struct schedule *schedule);
