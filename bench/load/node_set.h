/* node_set - the nodes that answers have named: whether an address is one of them, in a few nanoseconds.
 *
 * An open-addressed hash of compact addresses (docs/PROTOCOL.md) without their state. What is in it has been looked at closely once;
 * `closed` says that nothing else may come.
 * Invariant: at most half full, so a search ends. Nodes keep their index, 0 … count - 1.
 * Thread: one owner. Memory: grows by doubling; all zeroes is an empty one; node_set_done frees. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/wire/limits.h"

#define NODE_SET_NODES_MAX (1u << 20)

struct node_key {
    uint64_t word[2];
    uint32_t tail;
    uint32_t number; /* index + 1; 0: free */
};

struct node_set {
    struct node_key *keys;
    uint32_t mask;
    uint32_t count;
    bool closed;
};

void node_set_done(struct node_set *set);

/* -ENOMEM, -E2BIG (NODE_SET_NODES_MAX), -ENOENT (closed). One that is there already keeps its index. */
NODISCARD int node_set_add(struct node_set *set, const struct address *address, uint32_t *ret_index);

/* The key of a compact address of 8 (IPv4) or 20 bytes (IPv6). */
static inline struct node_key node_key_of(const uint8_t *compact)
{
    struct node_key key = {.number = 0};
    memcpy(&key.word[0], compact, sizeof(key.word[0]));
    if (compact[0] == ADDRESS_IPV6) {
        memcpy(&key.word[1], compact + 8, sizeof(key.word[1]));
        memcpy(&key.tail, compact + 16, sizeof(key.tail));
    }
    ((uint8_t *)&key.word[0])[1] = 0; /* the state */
    return key;
}

static inline uint32_t node_key_hash(const struct node_key *key)
{
    uint64_t hash = key->word[0] ^ (key->word[1] * UINT64_C(0x9e3779b97f4a7c15)) ^ key->tail;
    hash ^= hash >> 32; /* an IPv4 address is in the upper half, which a product would carry out of reach */
    return (uint32_t)((hash * UINT64_C(0xff51afd7ed558ccd)) >> 32);
}

/* −1: it is not there. */
static inline int64_t node_set_find(const struct node_set *set, const uint8_t *compact)
{
    struct node_key key = node_key_of(compact);
    if (UNLIKELY(set->count == 0))
        return -1;
    for (uint32_t i = node_key_hash(&key);; i++) {
        const struct node_key *there = &set->keys[i & set->mask];
        if (there->word[0] == key.word[0] && there->word[1] == key.word[1] && there->tail == key.tail && there->number)
            return (int64_t)there->number - 1;
        if (there->number == 0)
            return -1;
    }
}
