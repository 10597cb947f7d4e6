#include <criterion/criterion.h>

#include "core/base/random.h"
#include "rm/mirror_order.h"

#define MANY 3000u

Test(mirror_order, nothing_is_sorted_into_nothing)
{
    struct mirror_order order = {.count = 0};
    uint32_t slot;
    mirror_order_sort(&order);
    cr_assert_eq(mirror_order_next(&order, 1, &slot), 0);
    mirror_order_done(&order);
}

Test(mirror_order, slots_come_in_the_order_of_their_loads)
{
    static float loads[MANY];
    uint32_t place = 0;
    struct mirror_order order = {.count = 0};
    struct random_state random;
    uint32_t slots[100];
    uint32_t seen = 0;
    float last = 0;
    random_init(&random, 1);
    for (uint32_t i = 0; i < MANY; i++) {
        loads[i] = (float)(random_unit(&random) * (i % 3 == 0 ? 1e6 : 2));
        cr_assert_eq(mirror_order_put(&order, i, loads[i], &place), 0);
    }
    mirror_order_sort(&order);
    cr_assert_eq(mirror_order_left(&order), MANY);
    for (uint32_t count; (count = mirror_order_next(&order, 100, slots)) > 0; seen += count) {
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_geq(loads[slots[i]], last);
            last = loads[slots[i]];
        }
    }
    cr_assert_eq(seen, MANY);
    mirror_order_clear(&order);
    cr_assert_eq(mirror_order_left(&order), 0);
    mirror_order_done(&order);
}

Test(mirror_order, slot_that_is_put_again_stands_there_once_with_its_last_load)
{
    struct mirror_order order = {.count = 0};
    uint32_t places[3] = {0, 0, 0};
    uint32_t slots[4];
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(mirror_order_put(&order, 10 + i, (float)i, &places[i]), 0);
    cr_assert_eq(mirror_order_put(&order, 10, 5, &places[0]), 0);
    mirror_order_sort(&order);
    cr_assert_eq(mirror_order_next(&order, 4, slots), 3);
    cr_expect_eq(slots[0], 11);
    cr_expect_eq(slots[1], 12);
    cr_expect_eq(slots[2], 10);
    mirror_order_done(&order);
}

Test(mirror_order, place_from_before_it_was_cleared_counts_no_more)
{
    struct mirror_order order = {.count = 0};
    uint32_t first = 0, second = 0;
    uint32_t slots[3];
    cr_assert_eq(mirror_order_put(&order, 1, 1, &first), 0);
    mirror_order_clear(&order);
    cr_assert_eq(mirror_order_put(&order, 2, 2, &second), 0);
    cr_assert_eq(mirror_order_put(&order, 1, 1, &first), 0);
    mirror_order_sort(&order);
    cr_assert_eq(mirror_order_next(&order, 3, slots), 2);
    cr_expect_eq(slots[0], 1);
    cr_expect_eq(slots[1], 2);
    mirror_order_done(&order);
}
