#include "core/base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/hash.h"

#define MAP_CAPACITY_FIRST 16u
#define MAP_KEY_BYTES_MAX 64u

/* A cell: the key, the value, and whether it is used. */
static size_t cell_bytes(const struct map *map)
{
    return map->key_bytes + sizeof(uint32_t) + 1;
}

static uint8_t *cell_at(const struct map *map, uint32_t index)
{
    return map->cells + cell_bytes(map) * index;
}

static bool cell_used(const struct map *map, const uint8_t *cell)
{
    return cell[map->key_bytes + sizeof(uint32_t)] != 0;
}

/* Eight bytes at a time: rm finds a node by its address for each heartbeat. */
static uint64_t key_hash(const struct map *map, const uint8_t *key)
{
    uint64_t hash = 0;
    uint32_t left = map->key_bytes;
    for (; left >= sizeof(uint64_t); key += sizeof(uint64_t), left -= (uint32_t)sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, key, sizeof(word));
        hash = hash_mix(hash ^ word);
    }
    uint64_t rest = 0;
    memcpy(&rest, key, left);
    return hash_mix(hash ^ rest);
}

static uint32_t cell_home(const struct map *map, const void *key)
{
    return (uint32_t)key_hash(map, key) & (map->capacity - 1);
}

static void cell_fill(const struct map *map, uint8_t *cell, const void *key, uint32_t value)
{
    memcpy(cell, key, map->key_bytes);
    memcpy(cell + map->key_bytes, &value, sizeof(value));
    cell[map->key_bytes + sizeof(value)] = 1;
}

/* The key's cell, or the free cell where it would go. The map has a free cell by its invariant. */
static uint8_t *cell_find(const struct map *map, const void *key, uint32_t *ret_index)
{
    uint32_t index = cell_home(map, key);
    for (;;) {
        uint8_t *cell = cell_at(map, index);
        if (!cell_used(map, cell) || memcmp(cell, key, map->key_bytes) == 0) {
            *ret_index = index;
            return cell;
        }
        index = (index + 1) & (map->capacity - 1);
    }
}

void map_init(struct map *map, uint32_t key_bytes)
{
    CHECK(key_bytes >= 1 && key_bytes <= MAP_KEY_BYTES_MAX);
    *map = (struct map){.key_bytes = key_bytes};
}

void map_done(struct map *map)
{
    free(map->cells);
    map_init(map, map->key_bytes);
}

uint32_t map_get(const struct map *map, const void *key)
{
    uint32_t index;
    uint32_t value;
    if (map->count == 0)
        return MAP_NONE;
    const uint8_t *cell = cell_find(map, key, &index);
    if (!cell_used(map, cell))
        return MAP_NONE;
    memcpy(&value, cell + map->key_bytes, sizeof(value));
    return value;
}

static int map_grow(struct map *map)
{
    struct map bigger = {.key_bytes = map->key_bytes, .count = map->count};
    bigger.capacity = map->capacity ? map->capacity * 2 : MAP_CAPACITY_FIRST;
    bigger.cells = calloc(bigger.capacity, cell_bytes(map));
    if (!bigger.cells)
        return -ENOMEM;
    for (uint32_t i = 0; i < map->capacity; i++) {
        const uint8_t *cell = cell_at(map, i);
        uint32_t index;
        if (cell_used(map, cell))
            memcpy(cell_find(&bigger, cell, &index), cell, cell_bytes(map));
    }
    free(map->cells);
    *map = bigger;
    return 0;
}

int map_put(struct map *map, const void *key, uint32_t value)
{
    uint32_t index;
    CHECK(value != MAP_NONE);
    if ((uint64_t)map->count * 4 >= (uint64_t)map->capacity * 3) {
        int error = map_grow(map);
        if (error < 0)
            return error;
    }
    uint8_t *cell = cell_find(map, key, &index);
    if (!cell_used(map, cell))
        map->count++;
    cell_fill(map, cell, key, value);
    return 0;
}

/* Moves later cells of the same run back over the hole, so that no tombstones are needed (Knuth 6.4, algorithm R). */
static void map_close_hole(struct map *map, uint32_t hole)
{
    uint32_t mask = map->capacity - 1;
    for (uint32_t next = (hole + 1) & mask; cell_used(map, cell_at(map, next)); next = (next + 1) & mask) {
        uint32_t home = cell_home(map, cell_at(map, next));
        if (((next - home) & mask) < ((next - hole) & mask))
            continue; /* its home lies behind the hole: it must stay */
        memcpy(cell_at(map, hole), cell_at(map, next), cell_bytes(map));
        hole = next;
    }
    memset(cell_at(map, hole), 0, cell_bytes(map));
}

bool map_remove(struct map *map, const void *key)
{
    uint32_t index;
    if (map->count == 0 || !cell_used(map, cell_find(map, key, &index)))
        return false;
    map_close_hole(map, index);
    map->count--;
    return true;
}
