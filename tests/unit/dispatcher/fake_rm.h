/* fake_rm - resource managers that a subscription can follow, on the same loop, whose clock the test moves. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/directory.h"
#include "dispatcher/subscription.h"

enum fake_mode {
    FAKE_ANSWERS, /* with the full list or an empty delta */
    FAKE_SILENT,
    FAKE_GARBAGE,
    FAKE_NONSENSE, /* sound frames that say nothing of a directory */
    FAKE_REFUSES,
    FAKE_CLOSES,
    FAKE_EMPTY, /* with a list of nobody */
};

#define FAKE_NODES_MAX 8u

struct fake_rm {
    struct listener *listener; /* NULL: down */
    struct address address;
    struct stream *stream; /* the dispatcher's; NULL: not connected */
    enum fake_mode mode;
    struct wire_version version;
    struct wire_node nodes[FAKE_NODES_MAX];
    uint32_t node_count;
    uint32_t accepted;
    uint32_t asked;
    uint32_t asked_full;
    struct wire_subscribe subscribe; /* the last one */
};

struct scene {
    struct loop *loop;
    struct directory *directory;
    struct subscription subscription;
    struct subscription_config config;
    struct counters counters;
    struct address addresses[2];
    struct fake_rm rms[2]; /* as many as config.rms says */
};

extern struct scene scene;

/* Both backends, as TEST_BOTH of fixture.h; the test finds rms that answer, and starts the subscription itself. */
#define SCENE_TEST(name, rm_count)                                                                                               \
    static void subscription_##name(void);                                                                                       \
    Test(subscription, name##_epoll)                                                                                             \
    {                                                                                                                            \
        scene_run(LOOP_EPOLL, rm_count, subscription_##name);                                                                    \
    }                                                                                                                            \
    Test(subscription, name##_uring)                                                                                             \
    {                                                                                                                            \
        scene_run(LOOP_URING, rm_count, subscription_##name);                                                                    \
    }                                                                                                                            \
    static void subscription_##name(void)

void scene_run(enum loop_kind kind, uint32_t rm_count, void (*test)(void));

void scene_start(void);

/* The loop's clock jumps. */
void scene_advance(uint64_t ns);

void scene_batch(void);

/* Batches until the condition holds; a failing test waits 5 s. The clock goes on by itself too, slowly. */
#define scene_run_until(condition)                                                                                               \
    do {                                                                                                                         \
        for (uint32_t batches = 0; !(condition); batches++) {                                                                    \
            cr_assert_lt(batches, 5000u, "waited in vain for %s", #condition);                                                   \
            scene_batch();                                                                                                       \
        }                                                                                                                        \
    } while (0)

/* The same while the clock advances by a refresh interval with every batch. */
#define scene_hasten_until(condition)                                                                                            \
    do {                                                                                                                         \
        for (uint32_t batches = 0; !(condition); batches++) {                                                                    \
            cr_assert_lt(batches, 200u, "waited in vain for %s", #condition);                                                    \
            scene_advance(scene.config.refresh_ns);                                                                              \
            for (uint32_t step = 0; step < 10; step++)                                                                           \
                scene_batch();                                                                                                   \
        }                                                                                                                        \
    } while (0)

/* Some batches, for what must not happen. */
void scene_settle(void);

uint64_t scene_counter(enum counter counter);

/* How many nodes the cores can see. */
uint32_t scene_offered(void);

/* The rm that is followed, and the other one. */
struct fake_rm *scene_followed(void);
struct fake_rm *scene_other(void);

struct wire_node fake_node(uint16_t port);
void fake_rm_down(struct fake_rm *rm);
void fake_rm_up(struct fake_rm *rm);
void fake_rm_send(struct fake_rm *rm, const void *bytes, size_t length);
void fake_rm_send_list(struct fake_rm *rm);

/* A part of a list: its first `count` nodes. */
void fake_rm_send_part(struct fake_rm *rm, uint32_t count, bool first, bool more);
void fake_rm_send_delta(struct fake_rm *rm, uint64_t base, uint64_t sequence, const struct wire_node *node);
