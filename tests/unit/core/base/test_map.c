/* The map against a plain array that does the same. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/base/map.h"
#include "core/base/random.h"

Test(map, finds_nothing_when_empty)
{
    struct map map;
    uint64_t key = 7;
    map_init(&map, sizeof(key));
    cr_expect_eq(map_get(&map, &key), MAP_NONE);
    cr_expect_not(map_remove(&map, &key));
    map_done(&map);
}

Test(map, replaces_the_value_of_a_key)
{
    struct map map;
    uint64_t key = 7;
    map_init(&map, sizeof(key));
    cr_assert_eq(map_put(&map, &key, 1), 0);
    cr_assert_eq(map_put(&map, &key, 2), 0);
    cr_expect_eq(map.count, 1);
    cr_expect_eq(map_get(&map, &key), 2);
    map_done(&map);
}

enum { KEYS = 500, STEPS = 20000 };

/* Few keys and many steps: runs of cells form, wrap round the end and have holes closed in them. */
Test(map, agrees_with_an_array_over_random_steps)
{
    static uint32_t expected[KEYS];
    struct random_state random;
    struct map map;
    random_init(&random, 42);
    map_init(&map, sizeof(uint32_t));
    memset(expected, 0xff, sizeof(expected));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t key = random_below(&random, KEYS);
        if (random_below(&random, 2)) {
            cr_assert_eq(map_put(&map, &key, step), 0);
            expected[key] = step;
        } else {
            cr_assert_eq(map_remove(&map, &key), expected[key] != MAP_NONE);
            expected[key] = MAP_NONE;
        }
    }
    uint32_t count = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        cr_expect_eq(map_get(&map, &key), expected[key]);
        count += expected[key] != MAP_NONE;
    }
    cr_expect_eq(map.count, count);
    map_done(&map);
}
