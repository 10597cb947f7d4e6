#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>

#include "core/base/mpmc_queue.h"
#include "tests/support/mpmc_queue_start.h"

static struct mpmc_queue queue_of(size_t capacity)
{
    struct mpmc_queue queue;
    cr_assert_eq(mpmc_queue_init(&queue, capacity), 0);
    return queue;
}

static void *item_of(uintptr_t number)
{
    return (void *)number;
}

static void number_expect(struct mpmc_queue *queue, uintptr_t number)
{
    void *item;
    cr_assert_eq(mpmc_queue_pop(queue, &item), 0);
    cr_assert_eq((uintptr_t)item, number);
}

Test(mpmc_queue, capacity_not_a_power_of_two_is_refused)
{
    struct mpmc_queue queue;
    cr_assert_eq(mpmc_queue_init(&queue, 0), -EINVAL);
    cr_assert_eq(mpmc_queue_init(&queue, 6), -EINVAL);
}

Test(mpmc_queue, capacity_outside_the_limits_is_refused)
{
    struct mpmc_queue queue;
    cr_assert_eq(mpmc_queue_init(&queue, 1), -EINVAL);
    cr_assert_eq(mpmc_queue_init(&queue, (size_t)MPMC_QUEUE_CAPACITY_MAX * 2), -EINVAL);
}

Test(mpmc_queue, empty_pops_nothing_and_leaves_the_output)
{
    struct mpmc_queue queue = queue_of(4);
    void *item = &queue;
    cr_assert_eq(mpmc_queue_pop(&queue, &item), -EAGAIN);
    cr_assert_eq(item, (void *)&queue);
    mpmc_queue_done(&queue);
}

Test(mpmc_queue, full_refuses_a_push_and_keeps_what_is_inside)
{
    struct mpmc_queue queue = queue_of(2);
    cr_assert_eq(mpmc_queue_push(&queue, item_of(1)), 0);
    cr_assert_eq(mpmc_queue_push(&queue, item_of(2)), 0);
    cr_assert_eq(mpmc_queue_push(&queue, item_of(3)), -EAGAIN);
    cr_assert_eq(mpmc_queue_length(&queue), 2);
    number_expect(&queue, 1);
    cr_assert_eq(mpmc_queue_push(&queue, item_of(4)), 0);
    number_expect(&queue, 2);
    number_expect(&queue, 4);
    mpmc_queue_done(&queue);
}

Test(mpmc_queue, null_is_an_item_like_any)
{
    struct mpmc_queue queue = queue_of(2);
    cr_assert_eq(mpmc_queue_push(&queue, NULL), 0);
    cr_assert_eq(mpmc_queue_length(&queue), 1);
    number_expect(&queue, 0);
    mpmc_queue_done(&queue);
}

Test(mpmc_queue, order_holds_through_many_laps)
{
    struct mpmc_queue queue = queue_of(8);
    uintptr_t pushed = 0, popped = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 5; i++)
            cr_assert_eq(mpmc_queue_push(&queue, item_of(pushed++)), 0);
        for (int i = 0; i < 5; i++)
            number_expect(&queue, popped++);
        cr_assert_eq(mpmc_queue_length(&queue), 0);
    }
    mpmc_queue_done(&queue);
}

Test(mpmc_queue, order_holds_over_the_overflow_of_the_tickets)
{
    struct mpmc_queue queue = queue_of(4);
    mpmc_queue_start(&queue, UINT64_MAX - 9);
    uintptr_t pushed = 0, popped = 0;
    for (int round = 0; round < 20; round++) {
        while (mpmc_queue_push(&queue, item_of(pushed)) == 0)
            pushed++;
        cr_assert_eq(mpmc_queue_length(&queue), 4);
        number_expect(&queue, popped++);
        number_expect(&queue, popped++);
        number_expect(&queue, popped++);
    }
    mpmc_queue_done(&queue);
}

/* A thread that was stopped after its compare-and-swap leaves the hint behind for the others. */
static void hints_leave_behind(uint64_t ticket_count, uintptr_t inside_count)
{
    struct mpmc_queue queue = queue_of(4);
    mpmc_queue_start(&queue, ticket_count);
    for (uintptr_t i = 0; i < inside_count; i++)
        cr_assert_eq(mpmc_queue_push(&queue, item_of(i)), 0);
    atomic_store(&queue.tail, 0);
    atomic_store(&queue.head, 0);

    for (uintptr_t i = inside_count; i < 4; i++)
        cr_assert_eq(mpmc_queue_push(&queue, item_of(i)), 0);
    cr_assert_eq(mpmc_queue_push(&queue, item_of(4)), -EAGAIN);
    for (uintptr_t i = 0; i < 4; i++)
        number_expect(&queue, i);
    void *item;
    cr_assert_eq(mpmc_queue_pop(&queue, &item), -EAGAIN);
    mpmc_queue_done(&queue);
}

Test(mpmc_queue, hint_left_behind_by_less_than_a_lap_is_caught_up_with)
{
    for (uintptr_t inside_count = 0; inside_count <= 4; inside_count++)
        hints_leave_behind(3, inside_count);
}

Test(mpmc_queue, hint_left_behind_by_many_laps_is_caught_up_with)
{
    for (uint64_t ticket_count = 4; ticket_count < 24; ticket_count++)
        for (uintptr_t inside_count = 0; inside_count <= 4; inside_count++)
            hints_leave_behind(ticket_count, inside_count);
}

Test(mpmc_queue, length_is_zero_when_tail_was_left_below_head)
{
    struct mpmc_queue queue = queue_of(4);
    mpmc_queue_start(&queue, 8);
    atomic_store(&queue.tail, 7);
    cr_assert_eq(mpmc_queue_length(&queue), 0);
    mpmc_queue_done(&queue);
}
