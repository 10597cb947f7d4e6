/* policy - which nodes to hand out: pure functions over a snapshot and its values.
 *
 * Whatever the policy: drained nodes are never handed out; expired ones (LAST) only when nothing else is left; a node's own answer
 * names each node once; a dispatcher gets less than a worker (requirement D10).
 * Cost: O(1) expected for each address. Where fewer than about 1 in PICK_TRIES members qualify, a pass over the service's members; of more than
 * a thousand members not at each pick: which those are is kept, and that there are no others believed for 10 ms.
 * Thread: a context belongs to one core. Nothing blocks or allocates.
 *
 * Nearly every request wants one node and excludes none. Those are picked in batches, in steps that each go over the whole batch: find
 * the service, draw candidates and ask for their values, choose. So the memory of many requests is waited for at once, and
 * not of one after the other. How each policy does its steps stands in its own file, behind policy_methods.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/random.h"
#include "core/policy/finish_time.h"
#include "core/policy/snapshot.h"
#include "core/policy/values.h"

enum policy {
#define POLICY(symbol, name, help) POLICY_##symbol,
#include "core/policy/policies.def"
#undef POLICY
    POLICIES,
};

struct policy_row {
    const char *name;
    const char *help;
};

extern const struct policy_row policy_rows[POLICIES];

#define PICK_CANDIDATES_MAX 4u
#define POLICY_CURSORS 256u
#define PICKS_MAX 16u

#define PICK_WINDOW_RUN 16u

/* Where finish-time's window of a service's many members stands. */
struct pick_window {
    uint32_t picks; /* so far; wraps */
    /* Of the runs of PICK_WINDOW_RUN members that its candidates go through, in parts of 2^32 of the members; for as many picks. */
    uint32_t begin[PICK_CANDIDATES_MAX];
};

#define PICK_SCARCE_MAX (2 * PICKS_MAX) /* what one query excludes and what it asks for */
#define PICK_SCARCES 64u

/* Of many members hardly any of which can be handed out: those that can. Members are compared, never followed: they may be another snapshot's. */
struct pick_scarce {
    const struct snapshot_member *members;
    uint32_t member_count;
    uint32_t cursor; /* the member that is looked at next */
    uint32_t found;
    uint64_t begun_ns; /* when all were looked at */
    uint32_t positions[PICK_SCARCE_MAX];
};

/* A core's own state: its generator, and what its picks go on from. */
struct pick_state {
    struct random_state random;
    uint32_t walk[PICK_CANDIDATES_MAX]; /* where finish-time's candidates stand, as parts of 2^32 of a service's members */
    struct pick_window windows[TOKEN_RINGS]; /* by hash of the service */
    struct pick_scarce scarces[PICK_SCARCES]; /* by hash of the service, and whether expired nodes may be handed out */
    uint32_t cursor[POLICY_CURSORS]; /* by hash of the service; services that collide share a cursor */
    struct finish_time *finish; /* shared by the cores; finish-time needs it */
    uint64_t now_ns; /* of the next picks */
    uint64_t turns; /* nodes that finish-time has picked in turn, since what it knew was too old */
    uint64_t idle_picks; /* nodes that it has picked because they had said that they were idle, or looked so */
    float turn_peak[POLICY_CURSORS]; /* the fastest lately, by hash of the service */
    uint64_t turning[POLICY_CURSORS]; /* services of which finish-time draws whose turn it is, by hash; 0: none */
    uint32_t turning_count; /* of these */
    float dispatcher_share; /* a dispatcher's turns to a worker's under random and round-robin: 1/1.5 */
};

/* queue_factor ≥ 1: how much more a dispatcher's queue counts (D10). */
void pick_state_init(struct pick_state *state, uint64_t seed, float queue_factor);

struct pick_query {
    uint64_t service_id;
    const struct address *excludes; /* nodes to leave out */
    uint32_t exclude_count;
    uint32_t count; /* 1 … PICKS_MAX distinct nodes */
};

/* Fills ret_slots with as many distinct nodes as there are, up to count, best first, and counts the picks. Returns how many (≥ 1),
 * USHER_ENOSERVICE (never offered) or USHER_ENONODE (nobody offers it now). (D4 to D7, D10.) */
NODISCARD int policy_pick(enum policy policy, struct pick_state *state, const struct snapshot *snapshot,
                          struct node_values *values, const struct pick_query *query, uint32_t ret_slots[static PICKS_MAX]);

#define PICK_BATCH_MAX 64u /* its items and their candidates' lines stay in the first-level cache */

/* One request of a batch. */
struct pick_item {
    uint64_t service_id;
    int result; /* set: the node's slot, or USHER_ENOSERVICE, USHER_ENONODE */

    /* Between the steps. */
    union { /* what was drawn, until the memory of it is there */
        uint32_t turn; /* round-robin, and finish-time in turn */
        uint32_t column; /* weighted */
    };
    uint32_t bits; /* weighted: uniform ones, for the column */
    uint32_t member_count;
    const struct snapshot_member *members; /* of the service */
    const struct snapshot_share *shares; /* likewise, or NULL */
    struct snapshot_member candidate[PICK_CANDIDATES_MAX];
    bool in_turn; /* of finish-time, while any service is turning: the first candidate, whose turn it is, stands alone */
};

/* The same as policy_pick with count 1 and no excludes for each of up to PICK_BATCH_MAX requests, of which the service_id is set. */
void policy_pick_batch(enum policy policy, struct pick_state *state, const struct snapshot *snapshot, struct node_values *values,
                       struct pick_item items[], uint32_t item_count);
