#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/parking.h"

Test(parking, wait_with_the_deadline_behind_it_times_out)
{
    struct parking parking;
    parking_init(&parking);
    uint32_t key = parking_prepare(&parking);
    cr_assert_eq(parking_wait(&parking, key, 1), -ETIMEDOUT);
    cr_assert_eq(atomic_load(&parking.waiters), 0);
}

Test(parking, wake_between_prepare_and_wait_is_not_lost)
{
    struct parking parking;
    parking_init(&parking);
    uint32_t key = parking_prepare(&parking);
    parking_wake_one(&parking);
    cr_assert_eq(parking_wait(&parking, key, PARKING_FOREVER), 0);
}

Test(parking, wake_all_between_prepare_and_wait_is_not_lost)
{
    struct parking parking;
    parking_init(&parking);
    uint32_t key = parking_prepare(&parking);
    parking_wake_all(&parking);
    cr_assert_eq(parking_wait(&parking, key, PARKING_FOREVER), 0);
}

Test(parking, wake_with_nobody_there_changes_nothing)
{
    struct parking parking;
    parking_init(&parking);
    parking_wake_one(&parking);
    parking_wake_all(&parking);
    cr_assert_eq(atomic_load(&parking.epoch), 0);
}

Test(parking, wake_after_cancel_changes_nothing)
{
    struct parking parking;
    parking_init(&parking);
    uint32_t key = parking_prepare(&parking);
    parking_cancel(&parking);
    parking_wake_one(&parking);
    cr_assert_eq(atomic_load(&parking.epoch), key);
}
