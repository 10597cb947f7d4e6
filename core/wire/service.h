/* service - names of services and the IDs that stand for them on the wire.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/wire/limits.h"

/* 1 … 63 characters of [A-Za-z0-9._-]. */
bool service_name_valid(const char *name, size_t length);

/* FNV-1a-64 of the name's bytes. Different names with one ID are refused at REGISTER. */
static inline uint64_t service_id(const char *name, size_t length)
{
    return hash_fnv1a(name, length);
}
