/* What only shows on the ring itself. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/io/uring.h"
#include "tests/unit/core/io/fixture.h"

static int ring_try(struct loop *loop, struct io_uring_sqe *sqe)
{
    struct uring_state *state = loop->backend_state;
    struct io_uring_cqe *cqe;
    io_uring_sqe_set_data64(sqe, 77);
    cr_assert_geq(io_uring_submit_and_wait(&state->ring, 1), 0);
    cr_assert_eq(io_uring_peek_cqe(&state->ring, &cqe), 0);
    cr_assert_eq(cqe->user_data, 77);
    int result = cqe->res;
    io_uring_cqe_seen(&state->ring, cqe);
    return result;
}

/* A seccomp filter that forbids openat doesn't see this one. */
Test(uring_ring, operations_that_the_loop_does_not_use_are_refused)
{
    if (!fixture_uring_is_allowed())
        return;
    struct loop *loop = fixture_loop(LOOP_URING);
    struct uring_state *state = loop->backend_state;
    cr_assert_eq(loop_run_once(loop, 0), 0);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&state->ring);
    io_uring_prep_openat(sqe, AT_FDCWD, "/etc/hostname", O_RDONLY, 0);
    cr_expect_eq(ring_try(loop, sqe), -EACCES);
    loop_free(loop);
}

Test(uring_ring, personalities_can_not_be_registered)
{
    if (!fixture_uring_is_allowed())
        return;
    struct loop *loop = fixture_loop(LOOP_URING);
    struct uring_state *state = loop->backend_state;
    cr_assert_eq(loop_run_once(loop, 0), 0);
    cr_expect_lt(io_uring_register_personality(&state->ring), 0);
    loop_free(loop);
}

Test(uring_ring, idle_loop_sleeps)
{
    if (!fixture_uring_is_allowed())
        return;
    struct loop *loop = fixture_loop(LOOP_URING);
    fixture_run_for(loop, 2);
    uint64_t batches = loop_stats(loop)->batches;
    fixture_run_for(loop, 30);
    cr_expect_leq(loop_stats(loop)->batches - batches, 2);
    loop_free(loop);
}

/* Rings are halved until they fit into the locked memory: a kernel that counts it is rare today, so only the words are tested. */
Test(uring_ring, smaller_rings_are_told_with_the_remedy)
{
    if (!fixture_uring_is_allowed())
        return;
    struct loop *loop = fixture_loop(LOOP_URING);
    cr_expect_str_empty(loop_shortage(loop));
    uring_tell_shortage(loop, 1024, 256);
    cr_expect_not_null(strstr(loop_shortage(loop), "256 entries instead of 1024; raise the memlock limit"));
    cr_expect_str_empty(loop_fallback_reason(loop), "it is io_uring all the same");
    loop_free(loop);
}
