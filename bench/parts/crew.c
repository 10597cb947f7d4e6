#include "bench/parts/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "core/base/check.h"
#include "core/base/clock.h"

#define CREW_PATIENCE_NS (10 * NS_PER_S)

/* A yield costs a microsecond, a look at the clock less. */
#define TRIES_BEFORE_YIELD 64u
#define TRIES_BEFORE_CLOCK 4096u

struct crew_thread {
    struct crew *crew;
    uint32_t index;
    pthread_t thread;
    uint64_t begin_ns;
    uint64_t end_ns;
    int error;
};

bool crew_wait(struct crew *crew, uint32_t *tries)
{
    __builtin_ia32_pause();
    (*tries)++;
    if (*tries % TRIES_BEFORE_YIELD == 0)
        sched_yield();
    if (*tries % TRIES_BEFORE_CLOCK == 0 && clock_monotonic_ns() > crew->deadline_ns)
        atomic_store(&crew->stopped, true);
    return !atomic_load_explicit(&crew->stopped, memory_order_relaxed);
}

static void *crew_thread_run(void *argument)
{
    struct crew_thread *self = argument;
    struct crew *crew = self->crew;
    uint32_t tries = 0;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET((size_t)crew->cpus[self->index % 2], &own);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
    atomic_fetch_add(&crew->ready, 1);
    while (atomic_load(&crew->ready) < crew->size)
        if (!crew_wait(crew, &tries))
            return NULL;
    self->begin_ns = clock_monotonic_ns();
    self->error = crew->work(crew->ctx, self->index, crew);
    self->end_ns = clock_monotonic_ns();
    if (self->error < 0)
        atomic_store(&crew->stopped, true);
    return NULL;
}

int crew_run(struct crew *crew, uint64_t *ret_ns)
{
    struct crew_thread threads[CREW_MAX];
    uint32_t started = 0;
    int error = 0;
    CHECK(crew->size <= CREW_MAX);
    crew->deadline_ns = clock_monotonic_ns() + CREW_PATIENCE_NS;
    atomic_init(&crew->ready, 0);
    atomic_init(&crew->stopped, false);
    for (; started < crew->size && error == 0; started += error == 0) {
        threads[started] = (struct crew_thread){.crew = crew, .index = started, .error = -ETIMEDOUT};
        error = -pthread_create(&threads[started].thread, NULL, crew_thread_run, &threads[started]);
    }
    if (error < 0)
        atomic_store(&crew->stopped, true);
    uint64_t begin_ns = UINT64_MAX, end_ns = 0;
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(threads[i].thread, NULL);
        begin_ns = threads[i].begin_ns < begin_ns ? threads[i].begin_ns : begin_ns;
        end_ns = threads[i].end_ns > end_ns ? threads[i].end_ns : end_ns;
        /* The others only gave up because of the one that has another reason. */
        if (threads[i].error < 0 && (error == 0 || error == -ETIMEDOUT))
            error = threads[i].error;
    }
    *ret_ns = error == 0 ? end_ns - begin_ns : 0;
    return error;
}
