/* redis_keys - the names of all keys in Redis, from redis_keys.def.
 * Thread: any. Nothing blocks or allocates. */
#pragma once

#include <stdint.h>

enum redis_key {
#define KEY(symbol, name, type, text) REDIS_KEY_##symbol,
#include "core/redis/redis_keys.def"
#undef KEY
    REDIS_KEYS,
};

struct redis_key_row {
    const char *name;
    const char *type;
    const char *text;
};

extern const struct redis_key_row redis_key_rows[REDIS_KEYS];

#define REDIS_KEY_BYTES 32

/* Writes "usher:1:beats" into text and returns it. */
const char *redis_key_format(enum redis_key key, uint16_t region, char text[static REDIS_KEY_BYTES]);
