/* location - what a Location_Request is answered from: the table of client ranges that rm handed out, and the dispatchers of all
 * regions: those of the regions file, and those of our own region that are alive, so that clients learn of new ones (D8, D12, R8).
 *
 * Invariant: sorted and without doubles; the version is a hash of the content, so dispatchers that know the same say the same.
 * Thread: built on the control thread; immutable, read by every core. Memory: location_new copies; one owner frees. */
#pragma once

#include <stdint.h>

#include "core/base/region_table.h"
#include "core/wire/address_path.h"

struct location {
    const struct region_table *table; /* borrowed from the directory; NULL: no regions file */
    uint16_t own_region;
    uint32_t version; /* never 0 */
    uint16_t dispatcher_count;
    struct wire_region_dispatcher dispatchers[];
};

/* `alive`: our own region's dispatchers. More than REGION_DISPATCHERS_MAX in all: the last ones are left off. -ENOMEM. */
NODISCARD int location_new(uint16_t own_region, const struct region_table *table, const struct address *alive,
                           uint32_t alive_count, struct location **ret_location);
void location_free(struct location *location); /* NULL is a no-op; the table stays */

/* The region of a client by its IP; one in no range belongs to the region it asked. */
uint16_t location_region_of(const struct location *location, const struct address *client);
