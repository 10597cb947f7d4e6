#include "core/node/dedupe.h"

#include <errno.h>
#include <stdlib.h>

int dedupe_init(struct dedupe *dedupe)
{
    struct dedupe_entry *entries = calloc(DEDUPE_ENTRIES_MAX, sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    *dedupe = (struct dedupe){.entries = entries};
    map_init(&dedupe->index, sizeof(struct dedupe_key));
    return 0;
}

void dedupe_done(struct dedupe *dedupe)
{
    map_done(&dedupe->index);
    free(dedupe->entries);
    dedupe->entries = NULL;
}

static void drop_oldest(struct dedupe *dedupe)
{
    const struct dedupe_key *key = &dedupe->entries[dedupe->oldest].key;
    /* A forgotten key may be in the index again, for a younger cell. */
    if (map_get(&dedupe->index, key) == dedupe->oldest)
        map_remove(&dedupe->index, key);
    dedupe->oldest = (dedupe->oldest + 1) % DEDUPE_ENTRIES_MAX;
    dedupe->count--;
}

bool dedupe_knows(struct dedupe *dedupe, struct dedupe_key key, uint64_t now_ns)
{
    while (dedupe->count > 0 && now_ns - dedupe->entries[dedupe->oldest].added_ns >= DEDUPE_NS)
        drop_oldest(dedupe);
    return map_get(&dedupe->index, &key) != MAP_NONE;
}

int dedupe_add(struct dedupe *dedupe, struct dedupe_key key, uint64_t now_ns)
{
    if (dedupe->count == DEDUPE_ENTRIES_MAX)
        drop_oldest(dedupe);
    uint32_t cell = (dedupe->oldest + dedupe->count) % DEDUPE_ENTRIES_MAX;
    int r = map_put(&dedupe->index, &key, cell);
    if (r < 0)
        return r;
    dedupe->entries[cell] = (struct dedupe_entry){.key = key, .added_ns = now_ns};
    dedupe->count++;
    return 0;
}

void dedupe_forget(struct dedupe *dedupe, struct dedupe_key key)
{
    map_remove(&dedupe->index, &key); /* its cell leaves the ring with time */
}
