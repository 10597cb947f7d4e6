/* crew - threads that measure something together: started at one moment, each on its CPU, and given up when they come to a standstill.
 *
 * Thread: crew_run by the main thread; the others as said. Blocks until all are done. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define CREW_MAX 4u

struct crew {
    uint32_t size;
    const int *cpus; /* thread i runs on cpus[i % 2] */
    int (*work)(void *ctx, uint32_t index, struct crew *crew); /* 0 or a negative errno */
    void *ctx;
    uint64_t deadline_ns;
    _Atomic uint32_t ready;
    _Atomic bool stopped; /* nobody needs to go on */
};

/* From when all are there until the last is done. The first error of the threads', or of starting them. */
NODISCARD int crew_run(struct crew *crew, uint64_t *ret_ns);

/* For a thread that can do nothing just now: lets go of its CPU now and then, since another of the crew may need it. False: give up,
 * with -ETIMEDOUT. `tries` is the thread's own, 0 at first. */
bool crew_wait(struct crew *crew, uint32_t *tries);
