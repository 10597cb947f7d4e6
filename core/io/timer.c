#include "core/io/timer.h"

#include <stddef.h>

#include "core/io/backend.h"

/* A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): starting a timer is one comparison, and it needs no array that could
 * fail to grow. Most timers are stopped before they fire, which is where it does well. */

static bool timer_is_before(const struct timer *a, const struct timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

/* Two roots (either may be NULL) become one. */
static struct timer *timer_meld(struct timer *a, struct timer *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (timer_is_before(b, a)) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->sibling = a->child;
    if (a->child != NULL)
        a->child->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

/* Cuts the first of a row of siblings off; returns it as a root, or NULL. */
static struct timer *timer_cut_first(struct timer **row)
{
    struct timer *first = *row;
    if (first == NULL)
        return NULL;
    *row = first->sibling;
    first->sibling = NULL;
    first->previous = NULL;
    return first;
}

/* A row of siblings becomes one tree: melded in pairs from the left, and the pairs together from the right. */
static struct timer *timer_meld_row(struct timer *row)
{
    struct timer *pairs = NULL;
    while (row != NULL) {
        struct timer *first = timer_cut_first(&row);
        struct timer *pair = timer_meld(first, timer_cut_first(&row));
        pair->sibling = pairs;
        pairs = pair;
    }
    struct timer *root = NULL;
    while (pairs != NULL) {
        struct timer *pair = pairs;
        pairs = pair->sibling;
        pair->sibling = NULL;
        root = timer_meld(root, pair);
    }
    return root;
}

static void timer_remove(struct loop *loop, struct timer *timer)
{
    struct timer *children = timer_meld_row(timer->child);
    if (timer == loop->timers) {
        loop->timers = children;
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->sibling;
        else
            timer->previous->sibling = timer->sibling;
        if (timer->sibling != NULL)
            timer->sibling->previous = timer->previous;
        loop->timers = timer_meld(loop->timers, children);
    }
    timer->child = NULL;
    timer->sibling = NULL;
    timer->previous = NULL;
    timer->loop = NULL;
}

void timer_init(struct timer *timer, timer_function *fn, void *ctx)
{
    *timer = (struct timer){.fn = fn, .ctx = ctx};
}

void timer_start(struct loop *loop, struct timer *timer, uint64_t at_ns)
{
    timer_stop(timer);
    timer->loop = loop;
    /* No earlier than now: so a timer that starts itself anew stands behind all others that are due (see timers_run). */
    timer->at_ns = at_ns > loop->now_ns ? at_ns : loop->now_ns;
    timer->order = loop->timer_order++;
    loop->timers = timer_meld(loop->timers, timer);
}

void timer_stop(struct timer *timer)
{
    if (timer->loop != NULL)
        timer_remove(timer->loop, timer);
}

uint64_t timers_next_ns(const struct loop *loop)
{
    return loop->timers != NULL ? loop->timers->at_ns : LOOP_FOREVER;
}

void timers_run(struct loop *loop)
{
    uint64_t order_end = loop->timer_order; /* those started from here on wait for the next batch */
    for (;;) {
        struct timer *timer = loop->timers;
        if (timer == NULL || timer->at_ns > loop->now_ns || timer->order >= order_end)
            return;
        timer_remove(loop, timer);
        timer->fn(timer->ctx, timer);
    }
}
