/* peers - how many connections of a listener each address has, so that one client cannot take all there are.
 *
 * IPv6 addresses count by their /64, which is what one customer gets. Loopback is not counted: whoever is on this machine has
 * other ways, and proxies, tests and load generators all come from there.
 * Thread: one owner. Memory: one table, and an entry for each address while it has connections. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"

struct peer;

struct peers {
    struct peer **buckets; /* NULL: nothing is counted yet */
    uint64_t seed; /* so that nobody can aim at one bucket */
};

void peers_init(struct peers *peers);
void peers_done(struct peers *peers);

/* One more connection of this address. *ret_peer goes to peers_remove; NULL: it is not counted. -EMFILE: it has `limit` (≥ 1)
 * already; -ENOMEM. */
NODISCARD int peers_add(struct peers *peers, const struct address *address, uint32_t limit, struct peer **ret_peer);
void peers_remove(struct peers *peers, struct peer *peer); /* NULL is a no-op */
