/* events - what happens next in virtual time: a 4-ary heap.
 *
 * Invariant: events come out by time, those of one time in the order in which they went in; so the same seed gives the same run.
 * Thread: one owner. Memory: grows by doubling, events_done frees. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

struct event {
    uint64_t at_ns;
    uint64_t order; /* given by events_add */
    uint32_t kind;
    uint32_t subject; /* what these two mean is the kind's business */
    uint64_t detail;
};

struct events {
    struct event *heap;
    uint32_t count;
    uint32_t capacity;
    uint64_t next_order;
};

void events_init(struct events *events);
void events_done(struct events *events);

/* Ends the program when memory runs out: a simulation has nothing to fall back to. */
void events_add(struct events *events, uint64_t at_ns, uint32_t kind, uint32_t subject, uint64_t detail);

/* False: there are none. */
bool events_take(struct events *events, struct event *ret_event);
