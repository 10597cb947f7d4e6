/* timer - something to be done on the loop's thread at a time of its clock: never early, late by at most the batch in progress.
 *
 * Intrusive: a timer is a member of what it belongs to, so that starting one allocates nothing and can't fail.
 * Invariant: of two timers the earlier fires first; of two for the same moment the one that was started first.
 * Thread: the loop's. Memory: the owner's; stop a running timer before its memory goes. Nothing blocks.
 * Cost: start O(1), stop and fire O(log n) amortised. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct timer;

typedef void timer_function(void *ctx, struct timer *timer);

struct timer {
    timer_function *fn;
    void *ctx;
    struct loop *loop; /* NULL while stopped */
    uint64_t at_ns;
    uint64_t order; /* of starting */
    struct timer *child;
    struct timer *sibling;
    struct timer *previous; /* the sibling before, or the parent */
};

void timer_init(struct timer *timer, timer_function *fn, void *ctx);

/* Calls fn once when loop_now_ns(loop) ≥ at_ns. A time in the past means the next batch. A running timer is started anew. The
 * timer counts as stopped before fn is called, so that fn may start it again or free it. */
void timer_start(struct loop *loop, struct timer *timer, uint64_t at_ns);
void timer_stop(struct timer *timer); /* a stopped one: no-op */

static inline bool timer_is_running(const struct timer *timer)
{
    return timer->loop != NULL;
}
