/* backlog - how much may wait in a socket's receive buffer, so that what comes out of it is still of use.
 *
 * A buffer that holds 10,000 datagrams bridges a pause of the receiver. But when more is offered than can be answered it is always full:
 * everything comes out as old as the buffer is long, and where that is longer than clients wait, a busy server answers nobody. The kernel
 * drops new arrivals at a full buffer at next to no cost, so a short one loses nothing that could have been answered. Which of both is
 * the case is told by the youngest age within an interval: a burst goes by, a queue that stands does not (CoDel, RFC 8289).
 *
 * Ages come from the kernel's time stamps. They cost 2 to 3 % of a request, so they are only asked for while something seems to
 * stand: batches have been large for a while, and then again from time to time.
 *
 * Pure: time comes in; what is to be set is in `bytes` and `stamping`. Thread: the loop's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

struct backlog {
    uint32_t bytes; /* what SO_RCVBUF is to be */
    bool stamping; /* whether the kernel is to stamp what comes */
    uint32_t bytes_min;
    uint32_t bytes_max;
    uint64_t age_ns_max; /* above this, what stands is too old, unless the thread had not its CPU; 0: bytes stays as it is */
    uint64_t emptied_ns; /* when the socket was last seen to be nearly empty */
    uint64_t looked_ns; /* when stamping ended last */
    uint64_t interval_end_ns;
    uint64_t age_ns_min; /* the youngest of this interval */
    uint64_t away_ns_max; /* and the longest time from a large batch to the next */
    uint64_t batch_ns; /* the last batch */
    uint32_t count; /* its datagrams */
};

/* bytes_max: what the socket has; bytes_min ≤ bytes_max. */
void backlog_init(struct backlog *backlog, uint32_t bytes_min, uint32_t bytes_max, uint64_t age_ns_max);

/* A batch of datagrams came out of the socket at now_ns, the youngest of them age_ns_min old (meaningful while stamping). Returns whether
 * `bytes` or `stamping` has changed. */
NODISCARD bool backlog_on_batch(struct backlog *backlog, uint64_t now_ns, uint32_t count, uint64_t age_ns_min);
