/* redis_peek - asks a Redis on a socket one thing, and waits for the answer; for tests.
 * Thread: one. Memory: none kept. */
#pragma once

#include <stdint.h>

/* The answer as a number; 0 for OK, -1 for anything else and for none within a second. */
double redis_peek_number(const char *path, const char *command);
int64_t redis_peek_count(const char *path, const char *command);

/* Removes a folder that an embedded server has used. */
void redis_peek_clean(const char *folder);

/* Adds `count` members to the sorted set `key`: `per_score` with score `score`, as many with the next one, and so on. */
void redis_peek_fill(const char *path, const char *key, uint32_t count, uint64_t score, uint32_t per_score);
