/* Parking on its own: a baton goes round threads that sleep until it is theirs, with random delays at the seams. A lost wake-up
 * stops the round, and the watchdog ends the program. */
#include <errno.h>
#include <stdbool.h>

#include "core/base/clock.h"
#include "core/base/parking.h"
#include "tests/support/stress.h"

#define THREADS 4u

struct round {
    struct parking parking;
    ALIGN_CACHE_LINE _Atomic uint32_t baton; /* belongs to thread baton mod THREADS */
    uint32_t end;
    bool with_deadlines;
    uint64_t plain; /* guarded by the baton alone: ThreadSanitizer sees whether that orders it */
};

struct runner {
    struct round *round;
    uint32_t index;
};

static bool baton_is_mine(struct runner *runner)
{
    uint32_t baton = atomic_load_explicit(&runner->round->baton, memory_order_seq_cst);
    return baton % THREADS == runner->index || baton >= runner->round->end;
}

static void baton_await(struct runner *runner, struct random_state *random)
{
    struct parking *parking = &runner->round->parking;
    while (!baton_is_mine(runner)) {
        uint32_t key = parking_prepare(parking);
        stress_pause(random);
        if (baton_is_mine(runner)) {
            parking_cancel(parking);
            return;
        }
        stress_pause(random);
        uint64_t deadline_ns = PARKING_FOREVER;
        if (runner->round->with_deadlines && random_below(random, 2) == 0)
            deadline_ns = clock_monotonic_ns() + random_below(random, 100000);
        int r = parking_wait(parking, key, deadline_ns);
        CHECK(r == 0 || (r == -ETIMEDOUT && deadline_ns != PARKING_FOREVER));
    }
}

static void *runner_run(void *argument)
{
    struct runner *runner = argument;
    struct round *round = runner->round;
    struct random_state random;
    random_init(&random, runner->index);
    for (;;) {
        baton_await(runner, &random);
        uint32_t baton = atomic_load_explicit(&round->baton, memory_order_seq_cst);
        if (baton >= round->end)
            return NULL;
        CHECK(round->plain == baton);
        round->plain++;
        atomic_store_explicit(&round->baton, baton + 1, memory_order_seq_cst);
        /* All: one would do only if the kernel woke the right one. */
        parking_wake_all(&round->parking);
        stress_pause(&random);
    }
}

static void round_run(uint32_t end, bool with_deadlines)
{
    struct round round = {.end = end, .with_deadlines = with_deadlines};
    parking_init(&round.parking);
    struct runner runners[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){.round = &round, .index = i};
        stress_thread_start(&threads[i], runner_run, &runners[i]);
    }
    stress_threads_join(threads, THREADS);
    CHECK(round.plain == end);
    CHECK(atomic_load(&round.parking.waiters) == 0);
}

int main(int argc, char **argv)
{
    uint32_t operation_count = stress_operations(argc, argv, 20000);
    round_run(operation_count, false);
    round_run(operation_count, true);
    printf("parking: %u turns round %u threads, without and with deadlines\n", operation_count, THREADS);
    return 0;
}
