#include "core/io/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/random.h"

/* Long chains only with more different addresses than connections that a daemon takes. */
#define PEERS_BUCKETS 4096u
#define PEER_IPV6_BYTES 8u

struct peer {
    struct peer *next;
    struct address address; /* as it is counted */
    uint32_t bucket;
    uint32_t count;
};

void peers_init(struct peers *peers)
{
    struct random_state random;
    random_init_from_kernel(&random);
    *peers = (struct peers){.seed = random_next(&random)};
}

void peers_done(struct peers *peers)
{
    for (uint32_t i = 0; peers->buckets != NULL && i < PEERS_BUCKETS; i++) {
        while (peers->buckets[i] != NULL) {
            struct peer *peer = peers->buckets[i];
            peers->buckets[i] = peer->next;
            free(peer);
        }
    }
    free(peers->buckets);
    peers->buckets = NULL;
}

static struct address peer_address(const struct address *address)
{
    struct address counted = address_plain(address);
    counted.port = 0;
    if (counted.family == ADDRESS_IPV6)
        memset(counted.ip + PEER_IPV6_BYTES, 0, sizeof(counted.ip) - PEER_IPV6_BYTES);
    return counted;
}

static uint32_t peers_bucket(const struct peers *peers, const struct address *counted)
{
    uint64_t key;
    memcpy(&key, counted->ip, sizeof(key)); /* IPv4 in its first half, the /64 of IPv6 */
    return (uint32_t)(hash_mix(key ^ peers->seed) % PEERS_BUCKETS);
}

int peers_add(struct peers *peers, const struct address *address, uint32_t limit, struct peer **ret_peer)
{
    if (address->family == ADDRESS_NONE || address_is_loopback(address)) {
        *ret_peer = NULL;
        return 0;
    }
    if (peers->buckets == NULL)
        peers->buckets = calloc(PEERS_BUCKETS, sizeof(*peers->buckets));
    if (peers->buckets == NULL)
        return -ENOMEM;
    struct address counted = peer_address(address);
    uint32_t bucket = peers_bucket(peers, &counted);
    struct peer *peer = peers->buckets[bucket];
    while (peer != NULL && !address_equal(&peer->address, &counted))
        peer = peer->next;
    if (peer == NULL) {
        peer = malloc(sizeof(*peer));
        if (peer == NULL)
            return -ENOMEM;
        *peer = (struct peer){.next = peers->buckets[bucket], .address = counted, .bucket = bucket};
        peers->buckets[bucket] = peer;
    }
    if (peer->count >= limit)
        return -EMFILE;
    peer->count++;
    *ret_peer = peer;
    return 0;
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    if (peer == NULL || --peer->count > 0)
        return;
    struct peer **at = &peers->buckets[peer->bucket];
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    free(peer);
}
