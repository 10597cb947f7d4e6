#include "bench/load/ledger.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"

int ledger_init(struct ledger *ledger, uint32_t capacity, uint32_t seed)
{
    CHECK(capacity > 0 && capacity <= LEDGER_CAPACITY_MAX);
    uint32_t slots = 1;
    while (slots < capacity)
        slots *= 2;
    *ledger = (struct ledger){.mask = slots - 1, .given = slots};
    ledger->entries = calloc(slots, sizeof(*ledger->entries));
    ledger->free = calloc(slots, sizeof(*ledger->free));
    if (!ledger->entries || !ledger->free) {
        ledger_done(ledger);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < slots; i++) {
        ledger->entries[i].generation = seed & ~1u;
        ledger->free[i] = i;
    }
    return 0;
}

void ledger_done(struct ledger *ledger)
{
    free(ledger->entries);
    free(ledger->free);
    ledger->entries = NULL;
    ledger->free = NULL;
}

void ledger_abandon(struct ledger *ledger, uint64_t request_id)
{
    struct ledger_entry *entry = &ledger->entries[(uint32_t)request_id & ledger->mask];
    CHECK(entry->generation == (uint32_t)(request_id >> 32) && entry->planned_ns != LEDGER_ABANDONED);
    entry->planned_ns = LEDGER_ABANDONED;
    ledger->open_count--;
}

uint32_t ledger_sweep_begin(struct ledger *ledger, uint64_t now_ns, uint64_t timeout_ns)
{
    uint64_t slots = (uint64_t)ledger->mask + 1, pass_ns = timeout_ns / LEDGER_SWEEPS, elapsed_ns = now_ns - ledger->swept_ns;
    uint32_t budget = elapsed_ns < pass_ns ? (uint32_t)(slots * elapsed_ns / pass_ns) : (uint32_t)slots;
    bool idle = ledger->open_count == 0 || now_ns <= timeout_ns;
    if (idle || budget > 0)
        ledger->swept_ns = now_ns;
    return idle ? 0 : budget;
}

uint64_t ledger_find_expired(struct ledger *ledger, uint64_t planned_ns, uint32_t *budget)
{
    while (ledger->open_count > 0 && *budget > 0) {
        uint32_t slot = ledger->cursor++ & ledger->mask;
        const struct ledger_entry *entry = &ledger->entries[slot];
        --*budget;
        if ((entry->generation & 1) && entry->planned_ns <= planned_ns)
            return ledger_id(ledger, slot);
    }
    return 0;
}
