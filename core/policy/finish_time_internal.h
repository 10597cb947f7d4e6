/* finish_time_internal - the node values that finish-time uses, as seconds, and what it makes of them. For core/policy alone.
 *
 * `free` counts 8,192 ns and wraps after 9.8 hours: what is known of a node is some seconds old at most, and waits are cut at 2.1 hours, so
 * that sums of two stay within half of that range. What is shorter than a unit is not lost: node_gets rounds up as often as it should. */
#pragma once

#include "core/policy/policy_methods.h"

#define FINISH_UNIT_BITS 13
#define FINISH_UNIT_S 8192e-9f
#define FINISH_LEFT_S_MAX 7680.0f

/* finish_time.c: 0, then 2^(k/8) µs. */
extern const float finish_code_s[UINT8_MAX + 1];
extern const int32_t finish_code_units[UINT8_MAX + 1]; /* the same, as `free` counts; of 0, FINISH_UNITS_UNKNOWN */

/* Smaller than what is known of any node. */
#define FINISH_UNITS_UNKNOWN (INT32_MIN / 2)
#define FINISH_UNITS_MAX ((int32_t)(FINISH_LEFT_S_MAX / FINISH_UNIT_S))

static inline float code_to_s(uint8_t code)
{
    return finish_code_s[code];
}

/* One instruction each, and no branch that goes now this way and now that. A NaN: the second. */
static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static inline float smaller(float a, float b)
{
    return a < b ? a : b;
}

static inline void token_clear(struct node_values *values)
{
    uint8_t mask = NODE_TOKEN_IDLE | NODE_TOKEN_HELD;
    if (atomic_load_explicit(&values->token, memory_order_relaxed) & mask)
        atomic_fetch_and_explicit(&values->token, (uint8_t)~mask, memory_order_relaxed);
}

static inline uint32_t slot_count_of(const struct node_values *values)
{
    uint32_t slots = atomic_load_explicit(&values->slots, memory_order_relaxed);
    return slots + (slots == 0);
}

static inline float slots_of(const struct node_values *values)
{
    return (float)slot_count_of(values);
}

/* What one of its jobs takes on average. */
static inline float mean_s(const struct node_values *values)
{
    return code_to_s(atomic_load_explicit(&values->job_code, memory_order_relaxed));
}

static inline uint32_t mean_units(const struct node_values *values)
{
    int32_t mean = finish_code_units[atomic_load_explicit(&values->job_code, memory_order_relaxed)];
    return mean > 0 ? (uint32_t)mean : 0;
}

/* Of the time until all is done, the part in which a slot is free: the last jobs end one after the other. */
static inline float spare_s(const struct node_values *values)
{
    return mean_s(values) - mean_s(values) / slots_of(values);
}

/* Until a slot is free; < 0: since when one has been. */
static inline int32_t wait_units(const struct node_values *values, uint32_t now)
{
    return (int32_t)(atomic_load_explicit(&values->free, memory_order_relaxed) - now);
}

/* Now, as `free` counts. */
static inline uint32_t finish_units_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> FINISH_UNIT_BITS);
}

static inline float wait_s(const struct node_values *values, uint64_t now_ns)
{
    return (float)wait_units(values, finish_units_of(now_ns)) * FINISH_UNIT_S;
}

/* Until all is done. */
static inline float left_s(const struct node_values *values, uint64_t now_ns)
{
    return wait_s(values, now_ns) + spare_s(values);
}

/* Slots and mean must be there before. */
static inline void store_left_s(struct node_values *values, float left_s, uint64_t now_ns)
{
    float wait = larger(smaller(left_s - spare_s(values), FINISH_LEFT_S_MAX), -FINISH_LEFT_S_MAX);
    uint32_t free = finish_units_of(now_ns) + (uint32_t)(int32_t)(wait * (1 / FINISH_UNIT_S));
    atomic_store_explicit(&values->free, free, memory_order_relaxed);
}

/* ---- what a pick compares ---- */

/* How much of the time for which a node should have been idle counts: enough to break ties. */
#define IDLE_SHARE_BITS 7
#define IDLE_SHARE (1.0f / (1 << IDLE_SHARE_BITS))

/* A node that was drawn must promise to end a job in this part of the time that one needs which has said that it is idle, or looks so:
 * what is known of the former is older. */
#define TOKEN_SHARE 0.6f
#define IDLE_TIME_SHARE 0.8f

/* A node that has not said yet how long its jobs take is taken for one that needs so many times what others do: it starts slowly. */
#define NEW_NODE_FACTOR 2.0f
#define UNKNOWN_JOB_S 0.1f

/* Information that is older than so many jobs take says less than nothing: nodes get turns. */
#define TURN_AGE_JOBS 60.0f

struct candidate {
    uint32_t slot;
    float job_s;
    float wait_s; /* until a slot is free; < 0: since when one has been */
};

static inline struct candidate candidate_of(const struct node_values *values, uint32_t slot, uint32_t ordinal, uint64_t now_ns)
{
    const struct node_values *there = &values[slot];
    return (struct candidate){
        .slot = slot,
        .job_s = code_to_s(atomic_load_explicit(&there->job_codes[ordinal % VALUES_SERVICES_MAX], memory_order_relaxed)),
        .wait_s = wait_s(there, now_ns),
    };
}

static inline float candidate_key(const struct candidate *candidate)
{
    return larger(candidate->wait_s, IDLE_SHARE * candidate->wait_s) + candidate->job_s;
}

/* Gives those whose job time is not known one. */
void finish_candidates_complete(struct candidate candidates[], uint32_t count);

static inline uint32_t candidates_best(struct candidate candidates[], uint32_t count)
{
    bool known = true;
    for (uint32_t i = 0; i < count; i++)
        known &= candidates[i].job_s > 0;
    if (UNLIKELY(!known))
        finish_candidates_complete(candidates, count);
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (candidate_key(&candidates[i]) < candidate_key(&candidates[best]))
            best = i;
    return best;
}

/* A node that does not echo: what it reports is a load, not jobs. */
static inline bool node_is_level(const struct node_values *values)
{
    return (atomic_load_explicit(&values->flags, memory_order_relaxed) & NODE_VALUE_NO_ECHO) != 0;
}

/* The node has told this dispatcher alone that it is idle. */
static inline bool node_tells_idle(const struct node_values *values)
{
    return (atomic_load_explicit(&values->token, memory_order_relaxed) & NODE_TOKEN_IDLE) != 0;
}

/* One that is among the idle ones still looks like it. */
static inline bool candidate_is_idle(const struct candidate *candidate, bool tells)
{
    return tells || candidate->wait_s <= 0;
}

/* Of an idle one's key, what one that was drawn must stay below to be preferred. */
static inline float idle_share(bool tells)
{
    return tells ? TOKEN_SHARE : IDLE_TIME_SHARE;
}

/* ---- what the ways to pick share: finish_time_pick.c, finish_time_idle.c ---- */

struct contender {
    struct node_values *there;
    int32_t job; /* units */
};

static inline uint32_t job_units_of(float job_s)
{
    return (uint32_t)(smaller(job_s, FINISH_LEFT_S_MAX) * (1 / FINISH_UNIT_S));
}

/* What the picks of a batch have in common, in units. */
struct finish_moment {
    uint32_t now;
    uint32_t jobs; /* that a pick stands for: one for each dispatcher */
    uint32_t job_max; /* with so many of them no sum goes beyond its range */
    int32_t turn; /* jobs shorter than that are so short that nodes get turns */
};

static inline struct finish_moment finish_moment_of(const struct pick_state *state)
{
    uint32_t dispatchers = atomic_load_explicit(&state->finish->dispatchers, memory_order_relaxed);
    float turn_s = smaller(finish_time_age_s(state->finish) / TURN_AGE_JOBS, FINISH_LEFT_S_MAX);
    return (struct finish_moment){
        .now = finish_units_of(state->now_ns),
        .jobs = dispatchers,
        .job_max = (uint32_t)FINISH_UNITS_MAX / dispatchers,
        .turn = (int32_t)(turn_s * (1 / FINISH_UNIT_S)),
    };
}

/* Rounded up in as many picks of the node as the fraction says, spread evenly (Weyl 1916): many slots share out a short job, and what they
 * would lose of each adds up. */
static inline uint32_t divided(uint32_t units, uint32_t slots, uint32_t picks)
{
    uint32_t part = (uint32_t)((uint64_t)(picks * 0x9e3779b9u) * slots >> 32); /* 0 … slots - 1 */
    return (units + part) / slots;
}

/* The node gets so many jobs more, each of which takes so long. */
static inline void node_gets(struct node_values *values, uint32_t job, uint32_t jobs, const struct finish_moment *moment)
{
    uint32_t slots = slot_count_of(values), mean = mean_units(values);
    int32_t wait = wait_units(values, moment->now);
    int32_t idle = (int32_t)(mean / slots - mean); /* all slots are free */
    int32_t begin = wait > idle ? wait : idle;
    uint32_t units = (job < moment->job_max ? job : moment->job_max) * jobs;
    uint32_t picks = atomic_load_explicit(&values->picks, memory_order_relaxed);
    int32_t end = (int32_t)((uint32_t)begin + divided(units, slots, picks));
    atomic_store_explicit(&values->free, moment->now + (uint32_t)(end < FINISH_UNITS_MAX ? end : FINISH_UNITS_MAX),
                          memory_order_relaxed);
}

/* In the general case, not to be handed out for this request: excluded, or chosen already. */
static inline bool is_refused(const struct pick *general, uint32_t slot)
{
    return general != NULL && !pick_accepts(general, (struct snapshot_member){.slot = slot & (SNAPSHOT_SLOTS_MAX - 1)});
}

/* The slot of an idle node that is to be preferred to the best of those drawn, or PICK_UNSURE. `general`: NULL, or the pick that has
 * demands of its own. */
int finish_pick_idle(struct pick_state *state, struct node_values *values, uint64_t service_id, const struct pick *general,
                     struct contender best_drawn, const struct finish_moment *moment);
