#include "bench/load/node_set.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#define NODE_SET_SLOTS_MIN 64u

void node_set_done(struct node_set *set)
{
    free(set->keys);
    *set = (struct node_set){0};
}

static void node_set_place(struct node_key *keys, uint32_t mask, const struct node_key *key)
{
    uint32_t i = node_key_hash(key);
    while (keys[i & mask].number != 0)
        i++;
    keys[i & mask] = *key;
}

static int node_set_grow(struct node_set *set)
{
    uint32_t slots = set->keys ? 2 * (set->mask + 1) : NODE_SET_SLOTS_MIN;
    struct node_key *keys = calloc(slots, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    for (uint32_t i = 0; set->keys && i <= set->mask; i++)
        if (set->keys[i].number != 0)
            node_set_place(keys, slots - 1, &set->keys[i]);
    free(set->keys);
    set->keys = keys;
    set->mask = slots - 1;
    return 0;
}

int node_set_add(struct node_set *set, const struct address *address, uint32_t *ret_index)
{
    uint8_t compact[COMPACT_ADDRESS_BYTES_IPV6] = {address->family};
    uint16_t port = htobe16(address->port);
    memcpy(compact + 2, &port, sizeof(port));
    memcpy(compact + 4, address->ip, sizeof(address->ip));
    int64_t there = node_set_find(set, compact);
    if (there >= 0) {
        *ret_index = (uint32_t)there;
        return 0;
    }
    if (set->closed)
        return -ENOENT;
    if (set->count == NODE_SET_NODES_MAX)
        return -E2BIG;
    if (!set->keys || 2 * (set->count + 1) > set->mask + 1) {
        int error = node_set_grow(set);
        if (error < 0)
            return error;
    }
    struct node_key key = node_key_of(compact);
    key.number = ++set->count;
    node_set_place(set->keys, set->mask, &key);
    *ret_index = set->count - 1;
    return 0;
}
