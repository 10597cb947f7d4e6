/* hash - FNV-1a-64, which the protocol uses to turn service names into IDs, and a mixer for table look-ups.
 * Source: Fowler, Noll, Vo, draft-eastlake-fnv. Thread: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_fnv1a(const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Spreads all bits over all bits (the finalizer of MurmurHash3). */
static inline uint64_t hash_mix(uint64_t value)
{
    value = (value ^ (value >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    value = (value ^ (value >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return value ^ (value >> 33);
}
