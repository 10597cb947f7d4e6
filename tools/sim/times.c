#include "tools/sim/times.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/check.h"

int times_init(struct times *times, uint64_t capacity)
{
    float *items = malloc((capacity ? capacity : 1) * sizeof(*items));
    if (items == NULL)
        return -ENOMEM;
    *times = (struct times){.items = items, .capacity = capacity};
    return 0;
}

void times_done(struct times *times)
{
    free(times->items);
    times->items = NULL;
}

void times_add(struct times *times, double time)
{
    CHECK(times->count < times->capacity);
    times->items[times->count++] = (float)time;
    times->sum += time;
}

static int time_compare(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return left < right ? -1 : left > right;
}

void times_close(struct times *times)
{
    qsort(times->items, times->count, sizeof(*times->items), time_compare);
}

double times_quantile(const struct times *times, double fraction)
{
    if (times->count == 0)
        return 0;
    double rank = ceil(fraction * (double)times->count);
    uint64_t at = rank < 1 ? 0 : (uint64_t)rank - 1;
    return (double)times->items[at < times->count ? at : times->count - 1];
}
