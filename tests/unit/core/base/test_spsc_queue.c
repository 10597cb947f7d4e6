#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>

#include "core/base/spsc_queue.h"

static struct spsc_queue queue_of(size_t capacity)
{
    struct spsc_queue queue;
    cr_assert_eq(spsc_queue_init(&queue, capacity, sizeof(uint64_t)), 0);
    return queue;
}

/* Puts up to `count` consecutive numbers from `first` on into the queue, in as many rounds as the ring needs. */
static size_t numbers_put(struct spsc_queue *queue, uint64_t first, size_t count)
{
    size_t done = 0;
    while (done < count) {
        size_t free_count;
        uint64_t *slots = spsc_queue_reserve(queue, &free_count);
        if (free_count == 0)
            break;
        size_t batch = free_count < count - done ? free_count : count - done;
        for (size_t i = 0; i < batch; i++)
            slots[i] = first + done + i;
        spsc_queue_publish(queue, batch);
        done += batch;
    }
    return done;
}

/* Takes up to `count` numbers and expects them to follow from `first` on. */
static size_t numbers_take(struct spsc_queue *queue, uint64_t first, size_t count)
{
    size_t done = 0;
    while (done < count) {
        size_t filled_count;
        const uint64_t *slots = spsc_queue_peek(queue, &filled_count);
        if (filled_count == 0)
            break;
        size_t batch = filled_count < count - done ? filled_count : count - done;
        for (size_t i = 0; i < batch; i++)
            cr_assert_eq(slots[i], first + done + i);
        spsc_queue_release(queue, batch);
        done += batch;
    }
    return done;
}

Test(spsc_queue, capacity_not_a_power_of_two_is_refused)
{
    struct spsc_queue queue;
    cr_assert_eq(spsc_queue_init(&queue, 0, 8), -EINVAL);
    cr_assert_eq(spsc_queue_init(&queue, 3, 8), -EINVAL);
    cr_assert_eq(spsc_queue_init(&queue, 1000, 8), -EINVAL);
}

Test(spsc_queue, capacity_above_the_limit_is_refused)
{
    struct spsc_queue queue;
    cr_assert_eq(spsc_queue_init(&queue, (size_t)SPSC_QUEUE_CAPACITY_MAX * 2, 1), -EINVAL);
}

Test(spsc_queue, item_of_no_bytes_is_refused)
{
    struct spsc_queue queue;
    cr_assert_eq(spsc_queue_init(&queue, 8, 0), -EINVAL);
}

Test(spsc_queue, size_that_overflows_is_refused)
{
    struct spsc_queue queue;
    cr_assert_eq(spsc_queue_init(&queue, 16, SIZE_MAX / 8), -EINVAL);
}

Test(spsc_queue, empty_shows_nothing)
{
    struct spsc_queue queue = queue_of(4);
    cr_assert_eq(numbers_take(&queue, 0, 1), 0);
    cr_assert_eq(spsc_queue_length(&queue), 0);
    spsc_queue_done(&queue);
}

Test(spsc_queue, full_reserves_nothing)
{
    struct spsc_queue queue = queue_of(4);
    cr_assert_eq(numbers_put(&queue, 0, 5), 4);
    cr_assert_eq(spsc_queue_length(&queue), 4);
    spsc_queue_done(&queue);
}

Test(spsc_queue, full_has_room_again_after_a_release)
{
    struct spsc_queue queue = queue_of(4);
    cr_assert_eq(numbers_put(&queue, 0, 4), 4);
    cr_assert_eq(numbers_take(&queue, 0, 1), 1);
    cr_assert_eq(numbers_put(&queue, 4, 2), 1);
    cr_assert_eq(numbers_take(&queue, 1, 9), 4);
    spsc_queue_done(&queue);
}

Test(spsc_queue, reserved_but_not_published_is_not_seen)
{
    struct spsc_queue queue = queue_of(4);
    size_t free_count;
    uint64_t *slots = spsc_queue_reserve(&queue, &free_count);
    cr_assert_eq(free_count, 4);
    slots[0] = 7;
    spsc_queue_publish(&queue, 0);
    cr_assert_eq(numbers_take(&queue, 7, 1), 0);
    spsc_queue_done(&queue);
}

Test(spsc_queue, peeked_but_not_released_is_seen_again)
{
    struct spsc_queue queue = queue_of(4);
    cr_assert_eq(numbers_put(&queue, 0, 2), 2);
    size_t filled_count;
    cr_assert_not_null(spsc_queue_peek(&queue, &filled_count));
    spsc_queue_release(&queue, 0);
    cr_assert_eq(numbers_take(&queue, 0, 9), 2);
    spsc_queue_done(&queue);
}

Test(spsc_queue, batch_over_the_end_of_the_ring_comes_in_two_parts)
{
    struct spsc_queue queue = queue_of(8);
    cr_assert_eq(numbers_put(&queue, 0, 6), 6);
    cr_assert_eq(numbers_take(&queue, 0, 6), 6);
    size_t free_count;
    cr_assert_not_null(spsc_queue_reserve(&queue, &free_count));
    cr_assert_eq(free_count, 2);
    cr_assert_eq(numbers_put(&queue, 6, 8), 8);
    cr_assert_eq(numbers_take(&queue, 6, 9), 8);
    spsc_queue_done(&queue);
}

Test(spsc_queue, capacity_of_one_alternates)
{
    struct spsc_queue queue = queue_of(1);
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert_eq(numbers_put(&queue, i, 2), 1);
        cr_assert_eq(numbers_take(&queue, i, 2), 1);
    }
    spsc_queue_done(&queue);
}

Test(spsc_queue, order_holds_over_the_overflow_of_the_indices)
{
    struct spsc_queue queue = queue_of(8);
    uint64_t start = UINT64_MAX - 20;
    atomic_store(&queue.tail, start);
    atomic_store(&queue.head, start);
    queue.head_cached = start;
    queue.tail_cached = start;
    for (uint64_t i = 0; i < 60; i += 5) {
        cr_assert_eq(numbers_put(&queue, i, 5), 5);
        cr_assert_eq(spsc_queue_length(&queue), 5);
        cr_assert_eq(numbers_take(&queue, i, 9), 5);
    }
    spsc_queue_done(&queue);
}

Test(spsc_queue, slots_start_on_a_cache_line)
{
    struct spsc_queue queue = queue_of(2);
    size_t free_count;
    void *slots = spsc_queue_reserve(&queue, &free_count);
    cr_assert_eq((uintptr_t)slots % CACHE_LINE_BYTES, 0);
    spsc_queue_done(&queue);
}
