/* Several threads post to one loop that sleeps, wakes and sleeps again: every message arrives once, in the order of its thread, and
 * none is slept through. Both backends. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/check.h"
#include "core/base/random.h"
#include "core/io/loop.h"

#define POSTERS 4u
#define MESSAGES 10000u

struct message {
    struct loop_message message;
    uint32_t poster;
    uint32_t number;
    uint64_t check;
};

struct run {
    struct loop *loop;
    uint32_t next[POSTERS];
    uint32_t taken;
};

struct poster {
    struct run *run;
    uint32_t index;
};

static void run_on_message(void *ctx, struct loop_message *base)
{
    struct run *run = ctx;
    struct message *message = CONTAINER_OF(base, struct message, message);
    CHECK(message->number == run->next[message->poster]);
    CHECK(message->check == (uint64_t)message->poster * MESSAGES + message->number);
    run->next[message->poster]++;
    free(message);
    if (++run->taken == POSTERS * MESSAGES)
        loop_stop(run->loop);
}

static void *poster_main(void *ctx)
{
    struct poster *poster = ctx;
    struct random_state random;
    random_init(&random, poster->index + 1);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct message *message = calloc(1, sizeof(*message));
        CHECK(message != NULL);
        message->message.fn = run_on_message;
        message->message.ctx = poster->run;
        message->poster = poster->index;
        message->number = i;
        message->check = (uint64_t)poster->index * MESSAGES + i;
        loop_post(poster->run->loop, &message->message);
        /* Now and then the loop gets the time to fall asleep: that is the moment at which a wake-up could be lost. */
        if (random_below(&random, 10) == 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)random_below(&random, 100000)}, NULL);
    }
    return NULL;
}

static void run_kind(enum loop_kind kind)
{
    struct loop_config config;
    struct run run = {.taken = 0};
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    char reason[LOOP_REASON_BYTES] = "";
    loop_config_init(&config);
    config.kind = kind;
    config.reason = reason;
    if (loop_new(&config, &run.loop) < 0) {
        (void)printf("stress_loop_post: not run: %s\n", reason);
        return;
    }
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.run = &run, .index = i};
        CHECK(pthread_create(&threads[i], NULL, poster_main, &posters[i]) == 0);
    }
    CHECK(loop_run(run.loop) == 0);
    for (uint32_t i = 0; i < POSTERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    const struct loop_stats *stats = loop_stats(run.loop);
    (void)printf("stress_loop_post: %s: %u messages in %llu batches, %llu wake-ups\n", loop_kind_name(run.loop), run.taken,
                 (unsigned long long)atomic_load(&stats->batches), (unsigned long long)atomic_load(&stats->wakeups));
    CHECK(run.taken == POSTERS * MESSAGES);
    loop_free(run.loop);
}

int main(void)
{
    run_kind(LOOP_EPOLL);
    run_kind(LOOP_URING);
    return 0;
}
