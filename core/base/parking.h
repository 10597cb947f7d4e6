/* parking - where threads sleep until there may be something to do: an eventcount on a futex.
 *
 * The sleeper:                                         The waker:
 *     uint32_t key = parking_prepare(&parking);            make the condition true;
 *     if (the condition holds)                             parking_wake_one(&parking);
 *         parking_cancel(&parking);
 *     else
 *         r = parking_wait(&parking, key, deadline_ns);
 *     look at the condition again in any case.
 *
 * Contract: the waker makes the condition true by a seq_cst atomic store or read-modify-write, and the sleeper looks at it,
 * between prepare and wait, by a seq_cst load. Then no wake-up is lost, and a wake with nobody asleep is one plain load: no fence,
 * no write to a shared line, no system call.
 * Invariant: `waiters` counts the threads between prepare and the return of wait or cancel.
 * Thread: any, within one process (FUTEX_PRIVATE). parking_wait blocks; nothing else does.
 * Memory: none of its own.
 *
 * Why no wake-up is lost. In the single order of all seq_cst operations either the waker's load of `waiters` comes after the
 * sleeper's increment, or before it. After: the waker sees the sleeper and raises `epoch`. If it does so after the sleeper read
 * its key, the futex call finds another value than the key and returns at once, or the sleeper is already queued in the kernel
 * and the futex wake reaches it; if before, then the condition was true before the sleeper read its key, and the sleeper's look
 * sees it. Before: the condition was made true before the increment, and again the sleeper's look sees it. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/macros.h"

#define PARKING_FOREVER UINT64_MAX

struct parking {
    ALIGN_CACHE_LINE _Atomic uint32_t waiters;
    _Atomic uint32_t epoch; /* the futex word */
};

void parking_init(struct parking *parking);

/* Announces a sleeper. Exactly one parking_wait or parking_cancel must follow. */
NODISCARD static inline uint32_t parking_prepare(struct parking *parking)
{
    atomic_fetch_add_explicit(&parking->waiters, 1, memory_order_seq_cst);
    return atomic_load_explicit(&parking->epoch, memory_order_seq_cst);
}

/* Relaxed: nothing is concluded from a count that is too high but a superfluous wake. */
static inline void parking_cancel(struct parking *parking)
{
    atomic_fetch_sub_explicit(&parking->waiters, 1, memory_order_relaxed);
}

/* Sleeps until woken or until CLOCK_MONOTONIC reaches deadline_ns (PARKING_FOREVER: no limit). 0: woken, perhaps for nothing;
 * -ETIMEDOUT. */
NODISCARD int parking_wait(struct parking *parking, uint32_t key, uint64_t deadline_ns);

/* The way out of line: raises the epoch and asks the kernel to wake up to `count` sleepers. */
void parking_wake_sleepers(struct parking *parking, int count);

/* Wakes at least one sleeper when there is any (one more may come up for nothing: between prepare and wait). */
static inline void parking_wake_one(struct parking *parking)
{
    if (UNLIKELY(atomic_load_explicit(&parking->waiters, memory_order_seq_cst) != 0))
        parking_wake_sleepers(parking, 1);
}

static inline void parking_wake_all(struct parking *parking)
{
    if (atomic_load_explicit(&parking->waiters, memory_order_seq_cst) != 0)
        parking_wake_sleepers(parking, INT32_MAX);
}
