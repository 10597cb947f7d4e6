#include "core/base/histogram.h"

/* Values of `bits` significant bits share their leading HISTOGRAM_LINEAR_BITS bits with their bucket. */
static uint32_t histogram_index(uint64_t value)
{
    if (value < 2 * HISTOGRAM_HALF)
        return (uint32_t)value;
    uint32_t shift = 64 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_LINEAR_BITS;
    return shift * HISTOGRAM_HALF + (uint32_t)(value >> shift);
}

uint64_t histogram_bucket_value(uint32_t index)
{
    if (index < 2 * HISTOGRAM_HALF)
        return index;
    uint32_t shift = index / HISTOGRAM_HALF - 1;
    uint64_t low = (uint64_t)(index - shift * HISTOGRAM_HALF) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

void histogram_add_many(struct histogram *histogram, uint64_t value, uint64_t count)
{
    if (count == 0)
        return;
    if (value > HISTOGRAM_VALUE_MAX)
        value = HISTOGRAM_VALUE_MAX;
    histogram->bucket[histogram_index(value)] += count;
    histogram->sum += (double)value * (double)count;
    if (histogram->total == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->total += count;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram_add_many(histogram, value, 1);
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    if (other->total == 0)
        return;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->bucket[i] += other->bucket[i];
    histogram->sum += other->sum;
    if (histogram->total == 0 || other->min < histogram->min)
        histogram->min = other->min;
    if (other->max > histogram->max)
        histogram->max = other->max;
    histogram->total += other->total;
}

uint64_t histogram_quantile(const struct histogram *histogram, double fraction)
{
    double exact = fraction * (double)histogram->total;
    uint64_t wanted = (uint64_t)exact, seen = 0;
    if ((double)wanted < exact)
        wanted++;
    if (wanted == 0)
        return histogram->min;
    if (wanted >= histogram->total)
        return histogram->max;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen < wanted)
            continue;
        uint64_t value = histogram_bucket_value(i);
        return value < histogram->min ? histogram->min : value > histogram->max ? histogram->max : value;
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->total ? histogram->sum / (double)histogram->total : 0;
}
