/* fixture - the same test bodies over both backends, with a loop of their own each. */
#pragma once

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/io/loop.h"

/* TEST_BOTH(subject, condition_outcome) { … loop … }: a test for each backend; the body gets the kind. */
#define TEST_BOTH(subject, name)                                                                                                 \
    static void subject##_##name(enum loop_kind kind);                                                                           \
    Test(subject, name##_epoll)                                                                                                  \
    {                                                                                                                            \
        subject##_##name(LOOP_EPOLL);                                                                                            \
    }                                                                                                                            \
    Test(subject, name##_uring)                                                                                                  \
    {                                                                                                                            \
        if (fixture_uring_is_allowed())                                                                                          \
            subject##_##name(LOOP_URING);                                                                                        \
    }                                                                                                                            \
    static void subject##_##name(enum loop_kind kind)

/* TEST_ALL: once more on a ring that spins, where datagrams go another way. */
#define TEST_ALL(subject, name)                                                                                                  \
    static void subject##_##name(enum loop_kind kind);                                                                           \
    Test(subject, name##_spinning)                                                                                               \
    {                                                                                                                            \
        fixture_spins = true;                                                                                                    \
        if (fixture_uring_is_allowed())                                                                                          \
            subject##_##name(LOOP_URING);                                                                                        \
    }                                                                                                                            \
    TEST_BOTH(subject, name)

/* Loops made from now on never sleep. Each test is a process of its own. */
extern bool fixture_spins;

/* False, with the reason on stderr, on a machine that forbids io_uring. */
bool fixture_uring_is_allowed(void);

struct loop *fixture_loop(enum loop_kind kind);

/* Runs batches until *value ≥ wanted; fails the test when that takes longer than a generous time. */
void fixture_run_until(struct loop *loop, const uint32_t *value, uint32_t wanted);

/* Runs batches for a number of milliseconds of the loop's clock. */
void fixture_run_for(struct loop *loop, uint64_t duration_ms);

/* 127.0.0.1 with this port. */
struct address fixture_loopback(uint16_t port);

/* Blocking sockets for the other side. */
int fixture_udp_client(const struct address *server);
int fixture_stream_client(const struct address *server);
