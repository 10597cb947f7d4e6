#include "bench/load/ledger.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"

#define LEDGER_END 0

int ledger_init(struct ledger *ledger, uint32_t capacity, uint32_t seed)
{
    CHECK(capacity > 0 && capacity <= LEDGER_CAPACITY_MAX);
    *ledger = (struct ledger){.capacity = capacity};
    ledger->entries = calloc((size_t)capacity + 1, sizeof(*ledger->entries));
    if (!ledger->entries)
        return -ENOMEM;
    for (uint32_t i = 1; i <= capacity; i++)
        ledger->entries[i].generation = seed & ~1u;
    return 0;
}

void ledger_done(struct ledger *ledger)
{
    free(ledger->entries);
    ledger->entries = NULL;
}

/* The one that was freed last, for it is in the cache. */
static uint32_t ledger_take_free(struct ledger *ledger)
{
    uint32_t index = ledger->free;
    if (index == LEDGER_END)
        return ++ledger->unused;
    ledger->free = ledger->entries[index].older;
    return index;
}

uint64_t ledger_open(struct ledger *ledger, uint64_t planned_ns, uint32_t connection)
{
    DEBUG_CHECK(ledger_room(ledger) > 0);
    uint32_t index = ledger_take_free(ledger);
    struct ledger_entry *entry = &ledger->entries[index], *end = &ledger->entries[LEDGER_END];
    entry->planned_ns = planned_ns;
    entry->connection = connection;
    entry->generation++;
    entry->older = end->older;
    entry->newer = LEDGER_END;
    ledger->entries[end->older].newer = index;
    end->older = index;
    ledger->open_count++;
    return (uint64_t)entry->generation << 32 | index;
}

static void ledger_end(struct ledger *ledger, uint32_t index, struct ledger_entry *ret_entry)
{
    struct ledger_entry *entry = &ledger->entries[index];
    *ret_entry = *entry;
    ledger->entries[entry->older].newer = entry->newer;
    ledger->entries[entry->newer].older = entry->older;
    entry->generation++;
    entry->older = ledger->free;
    ledger->free = index;
    ledger->open_count--;
}

bool ledger_close(struct ledger *ledger, uint64_t request_id, struct ledger_entry *ret_entry)
{
    uint32_t index = (uint32_t)request_id, generation = (uint32_t)(request_id >> 32);
    if (index == LEDGER_END || index > ledger->capacity || !(generation & 1) || ledger->entries[index].generation != generation)
        return false;
    ledger_end(ledger, index, ret_entry);
    return true;
}

bool ledger_expire(struct ledger *ledger, uint64_t planned_ns, struct ledger_entry *ret_entry)
{
    if (ledger->open_count == 0 || ledger_oldest_ns(ledger) > planned_ns)
        return false;
    ledger_end(ledger, ledger->entries[LEDGER_END].newer, ret_entry);
    return true;
}

uint64_t ledger_oldest_ns(const struct ledger *ledger)
{
    return ledger->open_count ? ledger->entries[ledger->entries[LEDGER_END].newer].planned_ns : UINT64_MAX;
}
