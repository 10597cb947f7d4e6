#include <criterion/criterion.h>

#include "bench/load/ledger.h"

#define CAPACITY 4u

static struct ledger ledger;
static struct ledger_entry entry;

static void setup(void)
{
    cr_assert_eq(ledger_init(&ledger, CAPACITY, 1000), 0);
}

static void teardown(void)
{
    ledger_done(&ledger);
}

TestSuite(ledger, .init = setup, .fini = teardown);

Test(ledger, unknown_ids_close_nothing)
{
    uint64_t id = ledger_open(&ledger, 10, 0);
    cr_assert_not(ledger_close(&ledger, 0, &entry));
    cr_assert_not(ledger_close(&ledger, UINT64_MAX, &entry));
    cr_assert_not(ledger_close(&ledger, id + 1, &entry));
    cr_assert_not(ledger_close(&ledger, id + (UINT64_C(2) << 32), &entry));
    cr_assert_not(ledger_close(&ledger, (id & UINT32_MAX), &entry));
    cr_assert_eq(ledger.open_count, 1);
}

Test(ledger, reply_that_comes_twice_finds_nothing)
{
    uint64_t id = ledger_open(&ledger, 10, 3);
    cr_assert(ledger_close(&ledger, id, &entry));
    cr_assert_eq(entry.planned_ns, 10);
    cr_assert_eq(entry.connection, 3);
    cr_assert_not(ledger_close(&ledger, id, &entry));
}

Test(ledger, reply_after_the_timeout_finds_nothing_though_the_slot_is_in_use_again)
{
    uint64_t id = ledger_open(&ledger, 10, 0);
    cr_assert(ledger_expire(&ledger, 10, &entry));
    uint64_t next = ledger_open(&ledger, 20, 0);
    cr_assert_neq(next, id);
    cr_assert_eq((uint32_t)next, (uint32_t)id);
    cr_assert_not(ledger_close(&ledger, id, &entry));
    cr_assert(ledger_close(&ledger, next, &entry));
}

Test(ledger, nothing_expires_before_its_time)
{
    cr_assert_not(ledger_expire(&ledger, UINT64_MAX, &entry));
    (void)ledger_open(&ledger, 10, 0);
    cr_assert_not(ledger_expire(&ledger, 9, &entry));
    cr_assert(ledger_expire(&ledger, 10, &entry));
    cr_assert_eq(ledger_oldest_ns(&ledger), UINT64_MAX);
}

Test(ledger, oldest_expires_first_whatever_was_closed_between)
{
    uint64_t ids[CAPACITY];
    for (uint32_t i = 0; i < CAPACITY; i++)
        ids[i] = ledger_open(&ledger, 10 + i, i);
    cr_assert_eq(ledger_room(&ledger), 0);
    cr_assert(ledger_close(&ledger, ids[1], &entry));
    cr_assert(ledger_close(&ledger, ids[0], &entry));
    (void)ledger_open(&ledger, 20, 9);
    const uint32_t order[] = {2, 3, 9};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        cr_assert(ledger_expire(&ledger, 100, &entry));
        cr_assert_eq(entry.connection, order[i]);
    }
    cr_assert_eq(ledger_room(&ledger), CAPACITY);
}
