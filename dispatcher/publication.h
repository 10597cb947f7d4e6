/* publication - hands a pointer from the control thread to the cores, and finds out when nobody can be using the old one any more:
 * quiescent-state reclamation (McKenney and Slingwine 1998), without a lock or a count per request.
 *
 * A core enters once a batch, uses what it got, and leaves; outside it holds nothing, so a sleeping core delays nothing.
 * Invariant: what was retired is released only after every core has left, or entered later than the retirement.
 * Thread: enter and leave by the reader whose index is given; everything else by the control thread. Nothing blocks.
 *
 * Orders. The reader stores its version and then loads the pointer; the writer stores the pointer and then loads the versions. Both
 * pairs are sequentially consistent, so at least one of them sees the other: a reader that the writer believes to be outside will load
 * the new pointer. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/macros.h"

#define PUBLICATION_READERS_MAX 64u

/* Member of what is retired. */
struct retired {
    struct retired *next;
    uint64_t version;
    void (*release)(struct retired *retired);
};

struct publication_reader {
    ALIGN_CACHE_LINE _Atomic uint64_t version; /* at its last enter, or PUBLICATION_OUTSIDE */
};

struct publication {
    _Atomic(void *) current;
    _Atomic uint64_t version;
    uint32_t reader_count;
    struct retired *oldest;
    struct retired *newest;
    struct publication_reader readers[PUBLICATION_READERS_MAX];
};

void publication_init(struct publication *publication, uint32_t reader_count, void *first);

/* Releases everything retired; no reader may be inside. What is current stays the owner's. */
void publication_done(struct publication *publication);

/* What is current now, valid until publication_leave. */
void *publication_enter(struct publication *publication, uint32_t reader);
void publication_leave(struct publication *publication, uint32_t reader);

/* Makes `next` current. Retire the previous one afterwards. */
void publication_replace(struct publication *publication, void *next);

/* Calls release(retired) in a later publication_collect, when no reader can be using it. */
void publication_retire(struct publication *publication, struct retired *retired, void (*release)(struct retired *retired));

/* Releases what can be released; call it now and then. */
void publication_collect(struct publication *publication);
