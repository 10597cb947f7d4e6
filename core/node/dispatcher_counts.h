/* dispatcher_counts - how many jobs came from each dispatcher's picks, for the heartbeats to echo: a dispatcher learns from it which of
 * its picks a node's report already knows of.
 *
 * Invariant: the ECHOES_MAX dispatcher boots that sent a job last; counts wrap at 2^32.
 * Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdint.h>

#include "core/wire/heartbeat.h"

struct dispatcher_counts {
    uint32_t count;
    struct wire_echo echoes[ECHOES_MAX]; /* the latest first */
};

/* A job came; dispatcher_boot_id 0 (unknown) counts nowhere. */
void dispatcher_counts_add(struct dispatcher_counts *table, uint64_t dispatcher_boot_id);
