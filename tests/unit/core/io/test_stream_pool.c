#include "core/io/stream_pool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>

static struct stream_pool pool;

static void pool_open(void)
{
    stream_pool_init(&pool);
}

static void pool_close(void)
{
    stream_pool_done(&pool);
}

TestSuite(stream_pool, .init = pool_open, .fini = pool_close);

Test(stream_pool, more_than_an_address_space_is_refused)
{
    struct buffer buffer = {0};
    cr_assert_eq(stream_pool_reserve(&pool, &buffer, 10), 0);
    buffer.length = 10;
    cr_expect_eq(stream_pool_reserve(&pool, &buffer, SIZE_MAX), -ENOMEM);
    cr_expect_eq(buffer.length, 10);
    stream_pool_give(&pool, &buffer);
}

Test(stream_pool, growing_keeps_what_was_written)
{
    struct buffer buffer = {0};
    for (uint32_t i = 0; i < 200000; i++) {
        cr_assert_eq(stream_pool_reserve(&pool, &buffer, 1), 0);
        buffer.bytes[buffer.length++] = (uint8_t)(i * 7);
    }
    for (uint32_t i = 0; i < 200000; i++)
        cr_assert_eq(buffer.bytes[i], (uint8_t)(i * 7));
    stream_pool_give(&pool, &buffer);
    cr_expect_eq(buffer.capacity, 0);
}

Test(stream_pool, what_was_given_back_last_is_taken_first)
{
    struct buffer first = {0};
    struct buffer second = {0};
    cr_assert_eq(stream_pool_reserve(&pool, &first, 100), 0);
    cr_assert_eq(stream_pool_reserve(&pool, &second, 100), 0);
    const uint8_t *last = second.bytes;
    stream_pool_give(&pool, &first);
    stream_pool_give(&pool, &second);
    cr_assert_eq(stream_pool_reserve(&pool, &first, STREAM_PIECE_BYTES), 0);
    cr_expect_eq(first.bytes, last);
    stream_pool_give(&pool, &first);
}

Test(stream_pool, what_it_keeps_is_bounded)
{
    enum { BUFFERS = 1100 };
    static struct buffer buffers[BUFFERS];
    for (int i = 0; i < BUFFERS; i++)
        cr_assert_eq(stream_pool_reserve(&pool, &buffers[i], 1), 0);
    for (int i = 0; i < BUFFERS; i++)
        stream_pool_give(&pool, &buffers[i]);
    cr_expect_eq(pool.small.count, STREAM_PIECES_KEPT_BYTES / STREAM_PIECE_BYTES);
    cr_expect_eq(pool.large.count, 0);
}
