/* dispatchers - which dispatchers a client knows, which of them are faulty, and which one to ask next (requirements C1–C6, D12).
 *
 * Pure steps: what happened and the time go in, a decision comes out.
 *
 * A dispatcher that did not answer is faulty: it is not asked for the fault time, then probed until it answers. After
 * `region_failures` failures in a row on different dispatchers of the own region, or when all of them are faulty, the region is
 * down: other regions' dispatchers are asked, and all of the own are probed. With the first that answers the region is up
 * again, and over `ramp_ns` the share of requests that go to it grows from nothing to all, so that not all clients return in the
 * same moment.
 *
 * Never none: when every dispatcher is faulty, the one that failed longest ago is tried all the same.
 * Invariant: addresses are unique; those that were configured are never forgotten.
 * Thread: one. Memory: grows when dispatchers are added; nothing else allocates. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/base/random.h"

/* Configured ones and as many as the largest table of regions has (core/wire/limits.h). */
#define DISPATCHERS_CONFIGURED_MAX 256
#define DISPATCHERS_MAX (DISPATCHERS_CONFIGURED_MAX + 1024)
#define DISPATCHERS_NEVER UINT64_MAX

struct dispatchers_config {
    uint64_t fault_time_ns; /* A's third preset time */
    uint64_t ramp_ns; /* how long a returning region takes to get its whole share */
    uint32_t region_failures; /* k of C5, ≥ 1 */
};

struct dispatcher {
    struct address address;
    uint16_t region; /* 0: not known yet */
    bool configured; /* else it was learned */
    bool faulty;
    bool probing;
    uint32_t regions_version; /* as of the last location it gave */
    uint64_t failed_at_ns; /* of the last failure, for the choice among faulty ones */
    uint64_t probe_at_ns; /* faulty, or its region is unknown: not before this */
};

struct dispatchers_stats {
    uint64_t faults;
    uint64_t returns;
    uint64_t region_downs;
    uint64_t region_returns;
};

struct dispatchers {
    struct dispatchers_config config;
    struct dispatcher *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t regions_version; /* of the list that was merged last; 0: none yet */
    uint16_t own_region; /* 0: not known yet */
    bool region_down;
    bool ramping;
    uint64_t region_up_at_ns; /* while ramping */
    uint32_t failures_in_row; /* in the own region, on different dispatchers */
    struct address last_failed; /* the last of these */
    struct dispatchers_stats stats;
};

void dispatchers_init(struct dispatchers *dispatchers, const struct dispatchers_config *config);
void dispatchers_done(struct dispatchers *dispatchers);

/* A configured one; region 0: not known. Adding it again only fills in its region. -ENOSPC, -ENOMEM. */
NODISCARD int dispatchers_add(struct dispatchers *dispatchers, const struct address *address, uint16_t region);

/* NULL: unknown. Valid until the list changes. */
const struct dispatcher *dispatchers_find(const struct dispatchers *dispatchers, const struct address *address);

/* How a request fared so far. */
struct dispatchers_tried {
    struct address address;
    bool answered; /* it did, but not with what was wanted: no use in asking it again */
};

enum dispatchers_rank {
    DISPATCHERS_OWN, /* healthy, of the own region; of any region while the own one is not known */
    DISPATCHERS_OTHER, /* healthy, of another region */
    DISPATCHERS_LAST_RESORT, /* faulty, or tried by this request before */
};

struct dispatchers_choice {
    struct address address;
    enum dispatchers_rank rank;
    bool own_region; /* counts as an attempt on the own region */
};

/* Whom a request asks next. own_allowed, other_allowed: whether it may still turn to these. Random among equals (C1).
 * USHER_EUNREACHABLE: nobody is left. */
NODISCARD int dispatchers_pick(struct dispatchers *dispatchers, const struct dispatchers_tried *tried, uint32_t tried_count,
                               bool own_allowed, bool other_allowed, uint64_t now_ns, struct random_state *random,
                               struct dispatchers_choice *ret_choice);

/* It did not answer a request or a probe within the reply timeout, refused it, or answered nonsense (C2). */
void dispatchers_on_failure(struct dispatchers *dispatchers, const struct address *address, uint64_t now_ns,
                            struct random_state *random);

/* It answered a request or a probe, whatever it said; region: its own as it says, 0 when it didn't say. */
void dispatchers_on_answer(struct dispatchers *dispatchers, const struct address *address, uint16_t region, uint64_t now_ns,
                           struct random_state *random);

/* Whether the version that came with an ADDRESS means that its sender has a list we haven't seen (D12). */
bool dispatchers_is_news(const struct dispatchers *dispatchers, const struct address *address, uint32_t regions_version);

struct dispatchers_listed {
    struct address address;
    uint16_t region;
};

struct dispatchers_location {
    uint16_t client_region; /* of this client's IP (D8) */
    uint16_t own_region; /* of the dispatcher that answered */
    uint32_t regions_version;
    const struct dispatchers_listed *listed;
    uint32_t listed_count;
    bool complete; /* else nobody is forgotten */
};

/* Merges a LOCATION: listed ones are added, learned ones that are not listed go, regions are put right. -ENOMEM: part of it was. */
NODISCARD int dispatchers_on_location(struct dispatchers *dispatchers, const struct address *from,
                                      const struct dispatchers_location *location, uint64_t now_ns, struct random_state *random);

/* The next one to be probed by now; it counts as being probed until on_answer, on_failure or dispatchers_probe_dropped.
 * False: none. */
bool dispatchers_probe(struct dispatchers *dispatchers, uint64_t now_ns, struct address *ret_address);

/* A probe could not be sent, or ended without telling anything: again after the fault time. */
void dispatchers_probe_dropped(struct dispatchers *dispatchers, const struct address *address, uint64_t now_ns);

/* When dispatchers_probe should be called next; DISPATCHERS_NEVER. */
uint64_t dispatchers_probe_at(const struct dispatchers *dispatchers);
