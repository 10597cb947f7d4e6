#include "bench/parts/queue_bench.h"

#include <stdio.h>

#include "core/base/clock.h"

#define KINDS_MAX 3u

static const struct {
    const char *name;
    uint32_t producers;
    uint32_t threads; /* 0: the main thread alone */
} ways_table[QUEUE_WAYS] = {
    [QUEUE_PAIRS] = {"one thread, in and out in turn", 1, 0}, [QUEUE_ROUNDS] = {"one thread, 32 in and 32 out", 1, 0},
    [QUEUE_ONE_TO_ONE] = {"two cores, 1 to 1", 1, 2},         [QUEUE_TWO_TO_TWO] = {"two cores, 2 to 2", 2, 4},
    [QUEUE_BOTH] = {"two cores, 2 in and out in turn", 2, 2},
};

bool queue_way_needs_two_cores(enum queue_way way)
{
    return ways_table[way].threads > 0;
}

const char *queue_way_name(enum queue_way way)
{
    return ways_table[way].name;
}

static int queue_run_alone(struct queue_bench *bench, struct queue_test *test, uint64_t *ret_ns)
{
    uint64_t begin_ns = clock_monotonic_ns();
    int error = bench->way == QUEUE_PAIRS ? bench->kind->pairs(test) : bench->kind->rounds(test);
    *ret_ns = clock_monotonic_ns() - begin_ns;
    return error;
}

static int queue_run_crew(struct queue_bench *bench, struct queue_test *test, uint64_t *ret_ns)
{
    struct crew crew = {.size = ways_table[bench->way].threads, .cpus = bench->cpus, .work = bench->kind->work, .ctx = test};
    int error = crew_run(&crew, ret_ns);
    if (error < 0)
        return error;
    uint64_t sum = test->count * (test->count + 1) / 2 * test->producers;
    bool all_came = atomic_load(&test->popped) == test->count * test->producers && atomic_load(&test->popped_sum) == sum;
    return all_came ? 0 : -EBADMSG;
}

static int queue_run(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    struct queue_bench *bench = ctx;
    uint32_t producers = ways_table[bench->way].producers;
    struct queue_test test = {.queue = bench->queue, .count = operations / producers, .producers = producers};
    return queue_way_needs_two_cores(bench->way) ? queue_run_crew(bench, &test, ret_ns) : queue_run_alone(bench, &test, ret_ns);
}

int queue_bench_init(struct queue_bench *bench, const struct queue_kind *kind, enum queue_way way, const int *cpus,
                     struct micro_subject *ret_subject)
{
    *bench = (struct queue_bench){.kind = kind, .way = way, .cpus = cpus, .queue = kind->make()};
    if (!bench->queue)
        return -ENOMEM;
    *ret_subject = (struct micro_subject){.run = queue_run, .ctx = bench, .against = MICRO_NONE};
    (void)snprintf(ret_subject->name, sizeof(ret_subject->name), "%s, %s", kind->name, queue_way_name(way));
    return 0;
}

void queue_bench_done(struct queue_bench *bench)
{
    if (bench->queue)
        bench->kind->free(bench->queue);
    bench->queue = NULL;
}

static int way_compare(struct micro *micro, const struct queue_kind *const kinds[], uint32_t kind_count, enum queue_way way,
                       double goal)
{
    struct micro_subject subjects[KINDS_MAX] = {{.run = NULL}};
    struct queue_bench benches[KINDS_MAX] = {{.queue = NULL}};
    uint32_t count = 0;
    int error = 0;
    for (uint32_t i = 0; i < kind_count && error == 0; i++) {
        if (!kinds[i])
            continue;
        error = queue_bench_init(&benches[count], kinds[i], way, micro->cpus, &subjects[count]);
        if (error == 0 && count > 0)
            subjects[count].against = 0;
        count++;
    }
    if (error < 0)
        error = micro_fail(micro, error, "out of memory");
    if (error == 0 && count > 1)
        subjects[count - 1].goal_ratio = goal;
    if (error == 0)
        error = micro_measure(micro, subjects, count);
    for (uint32_t i = 0; i < count; i++)
        queue_bench_done(&benches[i]);
    return error;
}

int queue_bench_compare(struct micro *micro, const struct queue_kind *const kinds[], uint32_t kind_count,
                        const enum queue_way ways[], const double goals[], uint32_t way_count)
{
    int error = 0;
    for (uint32_t i = 0; i < way_count && error == 0; i++)
        if (micro->cpu_count >= 2 || !queue_way_needs_two_cores(ways[i]))
            error = way_compare(micro, kinds, kind_count, ways[i], goals[i]);
    return error;
}
