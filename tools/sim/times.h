/* times - how long jobs took, each kept: percentiles are exact.
 * Thread: one owner. Memory: four bytes a job; times_done frees. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

struct times {
    float *items;
    uint64_t count;
    uint64_t capacity;
    double sum;
};

/* -ENOMEM. */
NODISCARD int times_init(struct times *times, uint64_t capacity);
void times_done(struct times *times);
void times_add(struct times *times, double time);

/* Sorts; after it no more is added. */
void times_close(struct times *times);

/* The smallest time that this fraction of all does not exceed; 0 when there are none. After times_close. */
double times_quantile(const struct times *times, double fraction);
