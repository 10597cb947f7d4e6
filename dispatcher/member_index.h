/* member_index - from a node's address to its slot: open addressing over the members' own addresses, so that a cell is eight bytes.
 *
 * A look-up goes in steps, so that many can wait for memory together: hash, prefetch the cell, prefetch what it points to, find.
 * Invariant: at most 3/4 full; a cell's tag is its address's hash, so a wrong member is hardly ever looked at.
 * Thread: control. Memory: grows by doubling; member_index_done frees. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/address.h"
#include "core/base/hash.h"

#define MEMBER_NONE UINT32_MAX

struct member;

struct member_cell {
    uint32_t tag;
    uint32_t slot; /* MEMBER_NONE: an empty cell */
};

struct member_index {
    struct member_cell *cells; /* NULL before the first put */
    const struct member *members; /* by slot */
    uint32_t mask;
    uint32_t count;
};

static inline uint32_t member_index_hash(const struct address *address)
{
    uint64_t words[2];
    uint32_t rest;
    memcpy(&rest, address, sizeof(rest));
    memcpy(words, address->ip, sizeof(words));
    return (uint32_t)hash_mix(words[0] ^ (words[1] * UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)rest << 32));
}

static inline void member_index_prefetch(const struct member_index *index, uint32_t hash)
{
    if (index->cells)
        __builtin_prefetch(&index->cells[hash & index->mask]);
}

/* Probably the slot, without looking at the member: for prefetching it. */
uint32_t member_index_guess(const struct member_index *index, uint32_t hash);

/* MEMBER_NONE: not there. */
uint32_t member_index_find(const struct member_index *index, const struct address *address, uint32_t hash);

/* Inserts, or lets the address have another slot; members[slot] must have that address already. -ENOMEM. */
NODISCARD int member_index_put(struct member_index *index, const struct address *address, uint32_t hash, uint32_t slot);

/* The address must be there. */
void member_index_remove(struct member_index *index, const struct address *address, uint32_t hash);
void member_index_done(struct member_index *index);
