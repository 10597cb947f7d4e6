/* map - from a key of a fixed number of bytes to a 32-bit value: open addressing, linear probing, backward-shift deletion.
 *
 * Used where things are found by address, service ID or job ID; the value is normally an index into the owner's array.
 * Invariant: at most 3/4 full, so a look-up ends after a few cells. Keys are compared bytewise: no holes in key structs.
 * Thread: one owner. Memory: grows by doubling in map_put; map_done frees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

struct map {
    uint8_t *cells; /* capacity × (key_bytes + value 4 + used 1), packed */
    uint32_t key_bytes;
    uint32_t capacity; /* power of two, or 0 before the first put */
    uint32_t count;
};

#define MAP_NONE UINT32_MAX

/* key_bytes 1 … 64. Allocates nothing yet. */
void map_init(struct map *map, uint32_t key_bytes);
void map_done(struct map *map);

/* The value, or MAP_NONE. */
uint32_t map_get(const struct map *map, const void *key);

/* Inserts or replaces; value must not be MAP_NONE. -ENOMEM leaves the map as it was. */
NODISCARD int map_put(struct map *map, const void *key, uint32_t value);

/* True when the key was there. */
bool map_remove(struct map *map, const void *key);
