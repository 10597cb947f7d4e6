/* placement - what the policy finish-time is told: nodes' newest reports, which come through rm, and idle tokens, which nodes send straight
 * to a core (core/policy/finish_time.h, docs/PLACEMENT.md).
 *
 * A token is believed of the boot that rm has named, and only once: its sequence must be beyond that of the last one. All dispatchers'
 * cores together take PLACEMENT_TOKENS_PER_S a second and no more, so that no flood holds up the control thread.
 * While no reports come at all, that is noticed here once a second: what is known then is as old as the silence.
 *
 * Invariant: nothing is done, and no time spent, while the policy is another one.
 * Thread: placement_token on the core whose box it is; all else on the control thread, which alone knows what was said of a slot before.
 * Memory: by slot, 192 bytes of those that are used, a ring of tokens for each service that has had one, and 8 KiB. Nothing
 * blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/io/timer.h"
#include "core/policy/finish_time.h"
#include "core/wire/heartbeat.h"
#include "core/wire/node_entry.h"
#include "dispatcher/members.h"
#include "dispatcher/post_box.h"
#include "dispatcher/publication.h"

#define PLACEMENT_TOKENS_PER_S 20000u
#define PLACEMENT_HELD_MAX 256u /* by hash of the address; the last one stays */
#define PLACEMENT_NOTES_MAX 1024u /* tokens that wait for the control thread, of each core */

struct placement_slot {
    struct finish_track track;
    uint64_t token_sequence; /* of the last token of the track's boot */
};

/* A node that left while it was held for what it had drawn beyond its share: it does not come out of that by joining anew. */
struct placement_held {
    struct address address;
    uint64_t held_ns; /* until then */
};

struct placement {
    struct finish_time finish; /* the cores read it */
    struct placement_slot *slots;
    struct members *members;
    struct counters *counters; /* the control thread's */
    struct loop *loop;
    struct timer timer;
    uint64_t reported_ns; /* when the last report of any node came */
    double allowance; /* tokens that may come at once */
    uint64_t allowance_ns; /* when that was right */
    uint32_t settled; /* slots before this one have been settled in this round */
    uint32_t swept; /* the next ring of tokens to be looked through */
    struct placement_held held[PLACEMENT_HELD_MAX];
    bool on;
    float queue_factor; /* of dispatchers (D10) */
    uint32_t box_count;
    struct post_box boxes[PUBLICATION_READERS_MAX]; /* by core */
};

/* It stays until every core has been stopped. -ENOMEM. */
NODISCARD int placement_new(struct loop *loop, struct members *members, struct counters *counters, uint32_t core_count,
                            float queue_factor, struct placement **ret_placement);
void placement_free(struct placement *placement); /* NULL is a no-op */

/* How many times its share a node may draw; 0: any number of times. */
void placement_set_share_max(struct placement *placement, double share_max);

struct placement_stats {
    bool in_turn; /* within the last second nodes were given turns, because what is known of them is too old */
    float age_s; /* of what is known of a node, on average */
    uint32_t idle_tokens; /* idle nodes at hand, for all their services */
    uint32_t dispatchers;
};

/* All zeroes while the policy is another one. */
void placement_read_stats(const struct placement *placement, uint64_t now_ns, struct placement_stats *ret_stats);

/* Whether the policy is finish-time. Nothing is known of the nodes when it becomes so. */
void placement_set_on(struct placement *placement, bool on);

/* A newer report of the member in the slot, made age_ns ago. placement: NULL is a no-op. */
void placement_report(struct placement *placement, uint32_t slot, struct node_entry entry, uint64_t age_ns, uint64_t now_ns);

/* A client says that a job has ended well at the member in the slot, after so long. False: of no interest. placement may be NULL. */
bool placement_done(struct placement *placement, uint32_t slot, float latency_s, uint64_t now_ns);

/* The slot has another node from now on; `before`: the slot of the same node so far, or MEMBER_NONE. NULL is a no-op. */
void placement_join(struct placement *placement, uint32_t slot, uint32_t before);

/* The node in the slot leaves, and does not get another slot. NULL is a no-op. */
void placement_leave(struct placement *placement, uint32_t slot);

/* So many dispatchers of the region decide beside each other. NULL is a no-op. */
void placement_set_dispatchers(struct placement *placement, uint32_t count);

/* Says what came of the IDLE_TOKEN; it is counted. counters: the core's. */
void placement_token(struct post_box *box, const struct wire_idle_token *token, struct counters *counters);
