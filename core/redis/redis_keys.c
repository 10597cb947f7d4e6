#include "core/redis/redis_keys.h"

#include <stdio.h>

const struct redis_key_row redis_key_rows[REDIS_KEYS] = {
#define KEY(symbol, name, type, text) {name, type, text},
#include "core/redis/redis_keys.def"
#undef KEY
};

const char *redis_key_format(enum redis_key key, uint16_t region, char text[static REDIS_KEY_BYTES])
{
    snprintf(text, REDIS_KEY_BYTES, "usher:%u:%s", region, redis_key_rows[key].name);
    return text;
}
