/* inbox - an unbounded list through which many threads hand things to one: executors give finished jobs back to their loop.
 *
 * Intrusive: the node is a member of what is handed over, so nothing is allocated and a push can't fail.
 * Invariant: inbox_take_all returns nodes in the order of their pushes (of the exchanges that took effect).
 * Thread: any may push; one takes. Nothing blocks; waking the taker is the caller's (see inbox_push).
 * Progress: push is lock-free: its compare-and-swap fails only when another push, or a take, succeeded. take_all is wait-free up
 * to its first node (one exchange) and then linear in the nodes taken. A pusher stopped inside inbox_push holds nobody up; that
 * is why this is a stack turned over and not the exchange-and-link queue, whose push is wait-free but hides everything behind a
 * pusher that was stopped between its two steps. (One stopped after its push, before it wakes the taker, does delay the wake-up.)
 * ABA: single nodes are never popped, only the whole list by exchange, so a pusher whose compare-and-swap succeeds has `next`
 * right even when the node it saw left and came back in between.
 * Memory: the pushers' nodes; a node belongs to the inbox from push until it was taken. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/macros.h"

struct inbox_node {
    struct inbox_node *next;
};

struct inbox {
    ALIGN_CACHE_LINE _Atomic(struct inbox_node *) newest;
};

static inline void inbox_init(struct inbox *inbox)
{
    atomic_init(&inbox->newest, NULL);
}

/* True: the inbox was empty, and the caller must wake the taker (its eventfd, say). False: whoever pushed first does or did so,
 * and the taker hasn't taken yet. Release: what the pusher wrote before is seen by the taker. Acquire: what the taker did before it
 * left the inbox empty is seen by the pusher that finds it so: that one may use again what the taker had, such as the one message
 * that wakes it. */
NODISCARD static inline bool inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    struct inbox_node *newest = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
    do {
        node->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &newest, node, memory_order_acq_rel, memory_order_relaxed));
    return newest == NULL;
}

/* Everything pushed so far, oldest first, linked by `next`; NULL: nothing. Clear the wake-up (read the eventfd) before taking,
 * not after: a push in between would be slept through. Acquire: pairs with every push's release (a read-modify-write continues
 * the release sequence of the ones before it). Release: pairs with the acquire of the push that comes next. */
NODISCARD static inline struct inbox_node *inbox_take_all(struct inbox *inbox)
{
    struct inbox_node *newest = atomic_exchange_explicit(&inbox->newest, NULL, memory_order_acq_rel);
    struct inbox_node *oldest = NULL;
    while (newest != NULL) {
        struct inbox_node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}
