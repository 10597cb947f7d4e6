/* Readers enter and leave while a writer replaces and retires: nothing may be read after it was released. A released box is poisoned
 * before it is freed, so that without a sanitizer a mistake shows too. Usage: stress_publication [REPLACEMENTS] */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "dispatcher/publication.h"

enum { READERS = 3 };

#define BOX_GOOD 0x600dU
#define BOX_GONE 0xdeadU

struct box {
    struct retired retired;
    uint64_t content;
};

static struct publication publication;
static atomic_bool stop;
static atomic_uint reading; /* readers that have begun: on a busy machine a thread may begin after the writer is done */
static uint64_t released_count;

static struct box *box_new(void)
{
    struct box *box = calloc(1, sizeof(*box));
    CHECK(box);
    box->content = BOX_GOOD;
    return box;
}

static void box_release(struct retired *retired)
{
    struct box *box = (struct box *)(void *)retired;
    CHECK(box->content == BOX_GOOD);
    box->content = BOX_GONE;
    free(box);
    released_count++;
}

static void *reader_run(void *argument)
{
    uint32_t index = (uint32_t)(uintptr_t)argument;
    uint64_t entered = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        const struct box *box = publication_enter(&publication, index);
        for (int i = 0; i < 20; i++)
            CHECK(*(const volatile uint64_t *)&box->content == BOX_GOOD);
        publication_leave(&publication, index);
        if (entered++ == 0)
            atomic_fetch_add(&reading, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t replacements = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    pthread_t readers[READERS];
    struct box *current = box_new();
    publication_init(&publication, READERS, current);
    for (uintptr_t i = 0; i < READERS; i++)
        CHECK(pthread_create(&readers[i], NULL, reader_run, (void *)i) == 0);
    while (atomic_load(&reading) < READERS)
        sched_yield();
    for (uint64_t i = 0; i < replacements; i++) {
        struct box *next = box_new();
        publication_replace(&publication, next);
        publication_retire(&publication, &current->retired, box_release);
        current = next;
        publication_collect(&publication);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    publication_done(&publication);
    CHECK(released_count == replacements);
    free(current);
    printf("stress_publication: %llu replacements, each released once\n", (unsigned long long)replacements);
    return 0;
}
