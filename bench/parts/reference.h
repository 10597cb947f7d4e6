/* reference - work of a known number of instructions that needs nothing but the core and its first-level cache. Measured in the rounds of
 * something else, it says whether the core was one's own then: another thread of the same core, which may be another machine's, slows
 * both down.
 *
 * Thread: any. Pure. Nothing here blocks or allocates. */
#pragma once

#include "bench/parts/micro.h"

/* Of one operation, beside the loop around it. */
#define REFERENCE_INSTRUCTIONS 128u

/* So many of reference_wide's do not wait for each other. */
#define REFERENCE_LANES 4u

/* False: not on this kind of processor. */
bool reference_exists(void);

/* Each instruction waits for the one before: one a cycle on any core, even where another thread takes the rest of it. So it is a clock:
 * REFERENCE_INSTRUCTIONS cycles an operation. As micro_subject.run. */
int reference_chain(void *ctx, uint64_t operations, uint64_t *ret_ns);

/* REFERENCE_LANES chains side by side: all that a core can do at a time, if it has no other thread. */
int reference_wide(void *ctx, uint64_t operations, uint64_t *ret_ns);
