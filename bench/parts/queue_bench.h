/* queue_bench - subjects that measure queues of a kind in one way, for micro_measure.
 * Thread: the main thread. Memory: queue_bench_init allocates the queue. */
#pragma once

#include "bench/parts/micro.h"
#include "bench/parts/queue_loops.h"

enum queue_way {
    QUEUE_PAIRS, /* one thread, one in, one out */
    QUEUE_ROUNDS, /* one thread, QUEUE_BATCH in, QUEUE_BATCH out */
    QUEUE_ONE_TO_ONE, /* two cores */
    QUEUE_TWO_TO_TWO, /* four threads on two cores */
    QUEUE_BOTH, /* two cores, each pushes and pops */
    QUEUE_WAYS,
};

struct queue_bench {
    const struct queue_kind *kind;
    enum queue_way way;
    const int *cpus;
    void *queue;
};

bool queue_way_needs_two_cores(enum queue_way way);
const char *queue_way_name(enum queue_way way);

/* Fills bench and subject, which refers to it. -ENOMEM. */
NODISCARD int queue_bench_init(struct queue_bench *bench, const struct queue_kind *kind, enum queue_way way, const int *cpus,
                               struct micro_subject *ret_subject);
void queue_bench_done(struct queue_bench *bench); /* of zeroes, too */

/* The kinds in each of the ways that the CPUs allow; the later ones against the first. A NULL kind is left out. goals: by way, for the
 * last kind; 0: none. */
NODISCARD int queue_bench_compare(struct micro *micro, const struct queue_kind *const kinds[], uint32_t kind_count,
                                  const enum queue_way ways[], const double goals[], uint32_t way_count);
