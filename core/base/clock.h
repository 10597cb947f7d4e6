/* clock - the two system clocks. Only shells (loops, daemons, benchmarks) call these; protocol logic gets its time handed in.
 * Thread: any. */
#pragma once

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define MS_PER_S UINT64_C(1000)

/* Nanoseconds of CLOCK_MONOTONIC: never steps, counts from boot. */
uint64_t clock_monotonic_ns(void);

/* Milliseconds since 1970 of CLOCK_REALTIME: may step. */
uint64_t clock_wall_ms(void);
