/* policy_methods - what a policy is made of, and what the policies' files share. For core/policy alone.
 *
 * A batch's draw and choose must give what the general choose gives: same distribution (of finish-time's walks: over many picks), same
 * demands. A choose that is not sure (its candidates are drained, expired, not to the policy's taste) leaves the item to the general one,
 * which draws anew, independently of what was refused; so if either is uniform among the acceptable nodes, all of them together are.
 * Thread: as in policy.h. */
#pragma once

#include "core/policy/policy.h"

/* What is demanded of a node gives way step by step when too few qualify, so that an answer is never empty without need. */
enum demand {
    DEMAND_POLICY, /* all that the policy wants */
    DEMAND_FRESH, /* any fresh node */
    DEMAND_ANY, /* expired ones too */
    DEMANDS,
};

/* One call's working state in the general case: excludes, several nodes, few that qualify. */
struct pick {
    const struct policy_methods *methods;
    enum demand demand;
    struct pick_state *state;
    struct node_values *values;
    const struct pick_query *query;
    const struct snapshot_member *members;
    const struct snapshot_share *shares; /* of the members, or NULL */
    uint32_t member_count;
    uint32_t *slots; /* chosen so far */
    uint32_t slot_count;
    struct snapshot_member found; /* one that was chosen otherwise than from the members; of it the slot is known */
};

/* A batch's working state. */
struct pick_batch {
    struct pick_state *state;
    struct node_values *values;
    struct pick_item *items; /* of services that have members */
    uint32_t item_count;
    bool drew_turns; /* finish-time's draw: items say whether they are in turn */
};

/* Random draws before a pass over all members: with one draw in eight acceptable, one call in 70 takes that pass. */
#define PICK_TRIES 32u

#define PICK_UNSURE (-1) /* as an item's result: the general case decides */

struct policy_methods {
    /* The general case: one more node, or NULL when none qualifies under pick->demand. What it returns holds until the next call. */
    const struct snapshot_member *(*choose)(struct pick *pick);
    /* Whether a fresh node is to the policy's taste; asked under DEMAND_POLICY only. NULL: every one is. */
    bool (*accept)(const struct node_values *values, struct snapshot_member member);
    /* The part of its turns that a member gets, 0 … 1. NULL: all. */
    double (*share)(const struct pick_state *state, const struct node_values *values);

    /* What the policy compares nodes by, the smaller the better, when it has these to choose from. NULL: nothing. For explain.h; the
     * picks use what this is made of. */
    void (*keys)(const struct pick_state *state, const struct node_values *values, const struct snapshot_member members[],
                 uint32_t count, float ret_keys[]);

    /* A batch: each item's candidates, by item_candidate; members may come twice. */
    void (*draw)(struct pick_batch *batch);
    uint32_t candidate_count; /* for each item; ≤ PICK_CANDIDATES_MAX */
    /* Sets each item's result to the slot of one of its candidates, which it counts, or to PICK_UNSURE. */
    void (*choose_batch)(struct pick_batch *batch);
};

extern const struct policy_methods two_choices_methods;
extern const struct policy_methods below_average_methods;
extern const struct policy_methods finish_time_methods;
extern const struct policy_methods random_methods;
extern const struct policy_methods round_robin_methods;
extern const struct policy_methods weighted_methods;

/* Never NULL for a policy that is in use. */
const struct policy_methods *policy_methods_of(enum policy policy);

/* The general case for one node and no excludes: its slot or an error. */
NODISCARD int pick_general(enum policy policy, struct pick_batch *batch, const struct snapshot *snapshot, uint64_t service_id);

/* Fresh, to the policy's taste, neither chosen before nor excluded: what pick->demand says. */
bool pick_accepts(const struct pick *pick, struct snapshot_member member);

/* Each acceptable member as likely as its share; NULL: there is none. Rejection sampling; where that finds none, pick_of_few. */
const struct snapshot_member *pick_at_random(struct pick *pick);

/* Where hardly any may be acceptable. Of up to PASS_MEMBERS_MAX members as pick_by_pass. Of more, one of up to PICK_SCARCE_MAX that can be handed
 * out: a core's own list for each service, from a pass over all when its members are new, and gone on with by some at each call. That there
 * are no others is believed for 10 ms. O(1), but for those passes, and where all of a full list are not to the policy's taste, which takes a
 * pass each time. */
const struct snapshot_member *pick_of_few(struct pick *pick);

#define PASS_MEMBERS_MAX 1024u

/* Whether pick_of_few knows of none that can be handed out. false of up to PASS_MEMBERS_MAX members. */
bool pick_has_none(struct pick *pick);

/* The same in one pass over all members: reservoir sampling (Chao 1982). */
const struct snapshot_member *pick_by_pass(struct pick *pick);

/* In 32 bits, so that a member's word, masked, is how far away they are. */
static inline struct node_values *member_values(struct node_values *values, struct snapshot_member member)
{
    return (struct node_values *)(void *)((char *)values + (uint32_t)member.slot * (uint32_t)sizeof(*values));
}

/* The member becomes a candidate; its values are on their way into the cache. */
static inline void member_candidate(const struct pick_batch *batch, struct pick_item *item, uint32_t index,
                                    struct snapshot_member member)
{
    item->candidate[index] = member;
    __builtin_prefetch(member_values(batch->values, member), 1);
}

/* So does the one at a position below the item's member_count. */
static inline void item_candidate(const struct pick_batch *batch, struct pick_item *item, uint32_t index, uint32_t position)
{
    member_candidate(batch, item, index, item->members[position]);
}

/* Neither drained nor expired. */
static inline bool node_is_fresh(const struct node_values *values)
{
    uint32_t flags = atomic_load_explicit(&values->flags, memory_order_relaxed);
    return (flags & (NODE_VALUE_LAST | NODE_VALUE_DRAIN)) == 0;
}

static inline bool node_is_dispatcher(const struct node_values *values)
{
    return (atomic_load_explicit(&values->flags, memory_order_relaxed) & NODE_VALUE_DISPATCHER) != 0;
}

static inline void pick_count(struct node_values *values)
{
    atomic_fetch_add_explicit(&values->picks, 1, memory_order_relaxed);
}
