/* region_table - which region a client belongs to: ranges of client addresses, looked up by longest prefix, and the dispatchers of
 * every region (requirement R8). rm builds it from the regions file, dispatchers from what rm sends them.
 *
 * Invariant: nested ranges are flattened into disjoint intervals when the table is built, so that a look-up is one binary search
 * whatever the nesting. Immutable once built.
 * Thread: any may read. Memory: region_table_new copies what it is given; one owner frees. Nothing blocks. */
#pragma once

#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"

#define REGION_NONE 0 /* regions are 1 … 65535 */

struct region_range {
    struct address_range range;
    uint16_t region;
};

struct region_dispatcher {
    struct address address;
    uint16_t region;
};

/* The first address of an interval; it reaches to the next one's first. */
struct region_interval {
    struct address first; /* port 0; sorted by family, then by the bytes of ip */
    uint16_t region; /* REGION_NONE: a gap */
};

struct region_table {
    uint32_t version; /* equal content has equal versions; never 0 */
    uint32_t range_count;
    uint32_t dispatcher_count;
    uint32_t interval_count;
    struct region_range *ranges; /* sorted by family, base, prefix */
    struct region_dispatcher *dispatchers;
    struct region_interval *intervals;
};

/* -EINVAL: version or a region is 0, or a range has host bits or a port. -EEXIST: one range twice. -ENOMEM. */
NODISCARD int region_table_new(uint32_t version, const struct region_range *ranges, uint32_t range_count,
                               const struct region_dispatcher *dispatchers, uint32_t dispatcher_count,
                               struct region_table **ret_table);
void region_table_free(struct region_table *table); /* NULL is a no-op */

/* The region of the longest range that holds the address, or REGION_NONE: it belongs to the region it asked. The port is ignored;
 * IPv4-mapped IPv6 counts as IPv4. */
uint16_t region_table_find(const struct region_table *table, const struct address *client);
