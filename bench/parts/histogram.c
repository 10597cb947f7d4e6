/* What recording a latency costs a load generator. */
#include <errno.h>

#include "core/base/histogram.h"

#include "bench/parts/micro.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/random.h"

#define VALUES 1024u

struct histogram_bench {
    struct histogram histogram;
    uint64_t values[VALUES];
};

static int histogram_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct histogram_bench *bench = ctx;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        histogram_add(&bench->histogram, bench->values[i % VALUES]);
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return bench->histogram.total > 0 ? 0 : -EBADMSG;
}

int micro_histogram(struct micro *micro)
{
    struct histogram_bench *bench = memory_new_aligned(sizeof(*bench));
    struct micro_subject subject = {.name = "record a value", .run = histogram_run, .ctx = bench, .against = MICRO_NONE};
    struct random_state random;
    if (!bench)
        return micro_fail(micro, -ENOMEM, "out of memory");
    random_init(&random, 1);
    /* Latencies from 10 us to 1 ms. */
    for (uint32_t i = 0; i < VALUES; i++)
        bench->values[i] = 10 * NS_PER_US + random_next(&random) % NS_PER_MS;
    int error = micro_measure(micro, &subject, 1);
    free(bench);
    return error;
}
