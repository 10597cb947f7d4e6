/* histogram - how values are distributed, in fixed memory: log-linear buckets, as HdrHistogram has them.
 *
 * A value below 128 has a bucket of its own; above, each power of two is cut into 64 equal buckets, so a quantile is off by less
 * than 1 % (a bucket's middle stands for its values: at most 1/128).
 * Invariant: total is the sum of the buckets. Values above HISTOGRAM_VALUE_MAX count as that.
 * Thread: one owner. Memory: 20 KiB in place, all zeroes is an empty one. Nothing blocks. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << 44) - 1) /* 4.8 hours in nanoseconds, half a year in microseconds */
#define HISTOGRAM_LINEAR_BITS 7
#define HISTOGRAM_HALF (1u << (HISTOGRAM_LINEAR_BITS - 1))
#define HISTOGRAM_BUCKETS (2 * HISTOGRAM_HALF + (44 - HISTOGRAM_LINEAR_BITS) * HISTOGRAM_HALF)

struct histogram {
    uint64_t total;
    double sum;
    uint64_t min; /* exact, as are max and mean */
    uint64_t max;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The same value `count` times. */
void histogram_add_many(struct histogram *histogram, uint64_t value, uint64_t count);

/* Adds all that is in `other`: as if its values had been added here. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The smallest value that at least this fraction (0 … 1) of the values does not exceed; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double fraction);

/* 0 when there are none. */
double histogram_mean(const struct histogram *histogram);

/* The value that stands for those of a bucket: its middle. index < HISTOGRAM_BUCKETS. */
uint64_t histogram_bucket_value(uint32_t index);
