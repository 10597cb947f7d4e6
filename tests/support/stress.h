/* stress - what the stress programs share: how often to do it, threads, a watchdog, and how to fail.
 *
 * They have a plain main() because Criterion crashes under ThreadSanitizer. Each takes the number of operations as its only
 * argument; the default keeps it within seconds under ThreadSanitizer on two cores. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/random.h"

/* A lost wake-up or a queue that makes no progress hangs: SIGALRM then ends the program, which fails the test. It grows with the
 * operations asked for. */
#define STRESS_SECONDS_MIN 120u
#define STRESS_OPERATIONS_PER_SECOND 1000u

static inline uint32_t stress_operations(int argc, char **argv, uint32_t operation_count_default)
{
    uint32_t operation_count = operation_count_default;
    if (argc > 1) {
        char *end;
        unsigned long value = strtoul(argv[1], &end, 10);
        if (*end != '\0' || value == 0 || value > UINT32_C(100000000)) {
            fprintf(stderr, "usage: %s [operations, 1 ... 100000000]\n", argv[0]);
            exit(2);
        }
        operation_count = (uint32_t)value;
    }
    alarm(STRESS_SECONDS_MIN + operation_count / STRESS_OPERATIONS_PER_SECOND);
    return operation_count;
}

static inline void stress_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    CHECK(pthread_create(thread, NULL, run, argument) == 0);
}

static inline void stress_threads_join(pthread_t *threads, uint32_t thread_count)
{
    for (uint32_t i = 0; i < thread_count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static inline void *stress_allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    CHECK(memory != NULL);
    return memory;
}

/* Shakes the interleaving: usually nothing, sometimes a few loads' time, sometimes the rest of the time slice. */
static inline void stress_pause(struct random_state *random)
{
    uint32_t dice = random_below(random, 64);
    if (dice == 0)
        sched_yield();
    for (volatile uint32_t i = 0; dice < 16 && i < dice; i++)
        continue;
}
