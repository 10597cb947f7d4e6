#include <criterion/criterion.h>

#include "bench/load/ledger.h"

#define CAPACITY 4u

static struct ledger ledger;

static void setup(void)
{
    cr_assert_eq(ledger_init(&ledger, CAPACITY - 1, 1000), 0);
}

static void teardown(void)
{
    ledger_done(&ledger);
}

TestSuite(ledger, .init = setup, .fini = teardown);

static bool closes(uint64_t id)
{
    return ledger_close(&ledger, id) != NULL;
}

/* The planned time of the one that is found and ended; 0: none. */
static uint64_t expires(uint64_t planned_ns, uint32_t budget)
{
    uint64_t id = ledger_find_expired(&ledger, planned_ns, &budget);
    const struct ledger_entry *entry = id ? ledger_close(&ledger, id) : NULL;
    return entry ? entry->planned_ns : 0;
}

Test(ledger, unknown_ids_close_nothing)
{
    uint64_t id = ledger_open(&ledger, 10, 0);
    cr_assert_not(closes(0));
    cr_assert_not(closes(UINT64_MAX));
    cr_assert_not(closes(id + 1));
    cr_assert_not(closes(id + (UINT64_C(2) << 32)));
    cr_assert_not(closes(id & UINT32_MAX));
    cr_assert_eq(ledger.open_count, 1);
}

Test(ledger, reply_that_comes_twice_finds_nothing)
{
    uint64_t id = ledger_open(&ledger, 10, 3);
    const struct ledger_entry *entry = ledger_close(&ledger, id);
    cr_assert_not_null(entry);
    cr_assert_eq(entry->planned_ns, 10);
    cr_assert_eq(entry->connection, 3);
    cr_assert_not(closes(id));
}

Test(ledger, reply_after_the_timeout_finds_nothing_though_the_slot_is_in_use_again)
{
    uint64_t id = ledger_open(&ledger, 10, 0), next = 0;
    cr_assert_eq(expires(10, CAPACITY), 10);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        next = ledger_open(&ledger, 20, 0);
        if ((uint32_t)next == (uint32_t)id)
            break;
    }
    cr_assert_eq((uint32_t)next, (uint32_t)id);
    cr_assert_neq(next, id);
    cr_assert_not(closes(id));
    cr_assert(closes(next));
}

Test(ledger, capacity_is_rounded_up_and_room_is_what_is_not_open)
{
    for (uint32_t i = 0; i < CAPACITY; i++)
        (void)ledger_open(&ledger, 10, 0);
    cr_assert_eq(ledger_room(&ledger), 0);
    cr_assert_eq(expires(10, CAPACITY), 10);
    cr_assert_eq(ledger_room(&ledger), 1);
}

Test(ledger, slots_are_taken_in_the_order_in_which_they_were_given_back)
{
    uint64_t ids[CAPACITY];
    for (uint32_t i = 0; i < CAPACITY; i++)
        ids[i] = ledger_open(&ledger, 10, 0);
    const uint32_t order[CAPACITY] = {2, 0, 3, 1};
    for (uint32_t i = 0; i < CAPACITY; i++)
        cr_assert(closes(ids[order[i]]));
    for (uint32_t i = 0; i < CAPACITY; i++)
        cr_assert_eq((uint32_t)ledger_open(&ledger, 20, 0), (uint32_t)ids[order[i]]);
}

Test(ledger, nothing_expires_before_its_time)
{
    cr_assert_eq(expires(UINT64_MAX, CAPACITY), 0);
    (void)ledger_open(&ledger, 10, 0);
    cr_assert_eq(expires(9, CAPACITY), 0);
    cr_assert_eq(expires(10, CAPACITY), 10);
    cr_assert_eq(ledger.open_count, 0);
}

Test(ledger, sweep_looks_at_all_slots_several_times_in_a_timeout)
{
    uint64_t timeout_ns = 8000, now_ns = 100000, slots = ledger.mask + 1, looked = 0;
    cr_assert_eq(ledger_sweep_begin(&ledger, now_ns, timeout_ns), 0, "nothing is open");
    (void)ledger_open(&ledger, now_ns, 0);
    cr_assert_eq(ledger_sweep_begin(&ledger, now_ns, timeout_ns), 0, "no time has passed");
    for (uint64_t end_ns = now_ns + timeout_ns; now_ns < end_ns; now_ns += 250)
        looked += ledger_sweep_begin(&ledger, now_ns + 250, timeout_ns);
    cr_assert_eq(looked, LEDGER_SWEEPS * slots);
    cr_assert_eq(ledger_sweep_begin(&ledger, now_ns + 10 * timeout_ns, timeout_ns), slots, "never more than all");
}

Test(ledger, search_goes_on_where_the_budget_ended)
{
    for (uint32_t i = 0; i < CAPACITY; i++)
        (void)ledger_open(&ledger, 10 + i, i);
    cr_assert_eq(expires(13, 1), 10);
    cr_assert_eq(expires(13, 1), 11);
    cr_assert_eq(expires(12, 2), 12);
    cr_assert_eq(expires(12, CAPACITY), 0);
}

Test(ledger, abandoned_request_waits_for_its_reply_and_counts_no_more)
{
    uint64_t id = ledger_open(&ledger, 10, 0);
    ledger_abandon(&ledger, id);
    cr_assert_eq(ledger.open_count, 0);
    cr_assert_eq(ledger_room(&ledger), CAPACITY - 1);
    cr_assert_eq(expires(UINT64_MAX, CAPACITY), 0);
    cr_assert_eq(ledger_close(&ledger, id)->planned_ns, LEDGER_ABANDONED);
    cr_assert_eq(ledger.open_count, 0);
    cr_assert_eq(ledger_room(&ledger), CAPACITY);
}

Test(ledger, slot_alone_names_the_request_that_has_it_now)
{
    uint64_t id = ledger_open(&ledger, 10, 0);
    cr_assert_eq(ledger_id(&ledger, (uint32_t)id), id);
    cr_assert_eq(ledger_id(&ledger, (uint32_t)id + 1), 0);
    cr_assert_eq(ledger_id(&ledger, 1u << 20), 0);
}
