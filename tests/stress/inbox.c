/* The inbox: several threads hand nodes to one that sleeps on an eventfd in between. All arrive once and whole, each pusher's in
 * order, and the one wake-up per "was empty" is enough: a missing one hangs, and the watchdog ends the program. */
#include <stddef.h>
#include <sys/eventfd.h>

#include "core/base/inbox.h"
#include "core/base/macros.h"
#include "tests/support/stress.h"

#define PUSHERS 3u

struct result {
    struct inbox_node node;
    uint32_t pusher;
    uint32_t sequence;
};

struct run {
    struct inbox inbox;
    int wake_fd;
    uint32_t result_count; /* per pusher */
    struct result *results;
};

struct pusher {
    struct run *run;
    uint32_t index;
};

static void *push(void *argument)
{
    struct pusher *pusher = argument;
    struct run *run = pusher->run;
    struct random_state random;
    random_init(&random, pusher->index);
    for (uint32_t i = 0; i < run->result_count; i++) {
        struct result *result = &run->results[pusher->index * run->result_count + i];
        result->pusher = pusher->index;
        result->sequence = i;
        stress_pause(&random);
        if (inbox_push(&run->inbox, &result->node))
            CHECK(eventfd_write(run->wake_fd, 1) == 0);
    }
    return NULL;
}

static void take_all(struct run *run)
{
    uint32_t sequence_next[PUSHERS] = {0};
    for (uint32_t left = PUSHERS * run->result_count; left > 0;) {
        eventfd_t wakes;
        CHECK(eventfd_read(run->wake_fd, &wakes) == 0);
        for (struct inbox_node *node = inbox_take_all(&run->inbox); node != NULL; left--) {
            struct result *result = CONTAINER_OF(node, struct result, node);
            node = node->next;
            CHECK(result->sequence == sequence_next[result->pusher]);
            sequence_next[result->pusher]++;
            result->node.next = NULL; /* it is ours now: a pusher that still used it would race */
        }
    }
    CHECK(inbox_take_all(&run->inbox) == NULL);
}

int main(int argc, char **argv)
{
    uint32_t result_count = stress_operations(argc, argv, 1000000);
    struct run run = {.result_count = result_count / PUSHERS + 1};
    inbox_init(&run.inbox);
    run.wake_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(run.wake_fd >= 0);
    run.results = stress_allocate((size_t)run.result_count * PUSHERS, sizeof(*run.results));

    struct pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];
    for (uint32_t i = 0; i < PUSHERS; i++) {
        pushers[i] = (struct pusher){.run = &run, .index = i};
        stress_thread_start(&threads[i], push, &pushers[i]);
    }
    take_all(&run);
    stress_threads_join(threads, PUSHERS);
    close(run.wake_fd);
    free(run.results);
    printf("inbox: %u nodes from %u threads, in order\n", result_count, PUSHERS);
    return 0;
}
