/* Picks of finish-time: the best of four, an idle one, or the next in turn. */
#include <string.h>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/policy/finish_time_internal.h"
#include "core/policy/policy_methods.h"

/* One with so much work left is passed over in its turn: its speed may be misjudged, and nothing else tells. */
#define TURN_WAIT_JOBS 10.0f
#define TURN_TRIES 64u
#define TURN_PEAK_FADING 0.9999f
#define TURN_NOTE_NS UINT64_C(100000000) /* cores would fight for its cache line */

__attribute__((noinline, cold)) void finish_candidates_complete(struct candidate candidates[], uint32_t count)
{
    float sum_s = 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum_s += candidates[i].job_s;
        known += candidates[i].job_s > 0;
    }
    float job_s = known ? NEW_NODE_FACTOR * sum_s / (float)known : UNKNOWN_JOB_S;
    for (uint32_t i = 0; i < count; i++)
        if (!(candidates[i].job_s > 0))
            candidates[i].job_s = job_s;
}

static inline uint8_t job_code_of(const struct node_values *values, struct snapshot_member member)
{
    return atomic_load_explicit(&values->job_codes[(uint32_t)member.service_ordinal % VALUES_SERVICES_MAX], memory_order_relaxed);
}

/* ---- four at once ----
 *
 * What candidates_best does, for the usual case, in whole numbers and in few instructions, which is what a pick costs: nothing is looked
 * at of all four that can be looked at of the best one alone, and there is no branch that depends on chance. */

/* The compiler must know nothing of it: it would make branches of the choices that lead here. */
static inline int32_t unpredictable(int32_t value)
{
    __asm__("" : "+r"(value));
    return value;
}

/* Its key, the last two bits of which give way to its index. */
static inline int32_t rank_of(struct node_values *values, const struct snapshot_member members[], int32_t index, uint32_t now)
{
    struct node_values *there = member_values(values, members[index]);
    int32_t wait = wait_units(there, now), idle = wait >> IDLE_SHARE_BITS;
    uint32_t rest = (uint32_t)(wait > idle ? wait : idle), job = (uint32_t)finish_code_units[job_code_of(there, members[index])];
    return ((int32_t)(rest + job) & ~3) | index;
}

/* One whose jobs' time is not known is the best of any. */
static inline __attribute__((always_inline)) struct contender best_of_four(struct node_values *values,
                                                                           const struct snapshot_member members[], uint32_t now)
{
    int32_t a = rank_of(values, members, 0, now), b = rank_of(values, members, 1, now);
    int32_t c = rank_of(values, members, 2, now), d = rank_of(values, members, 3, now);
    int32_t first = a < b ? a : b, second = c < d ? c : d;
    struct snapshot_member best = members[unpredictable(first < second ? first : second) & 3];
    struct node_values *there = member_values(values, best);
    return (struct contender){.there = there, .job = finish_code_units[job_code_of(there, best)]};
}

/* Some have not told how long their jobs take. NULL: not all are fresh. */
static __attribute__((noinline, cold)) struct node_values *
best_of_any(struct node_values *values, const struct snapshot_member members[], uint64_t now_ns, int32_t *ret_job)
{
    struct candidate candidates[PICK_CANDIDATES_MAX];
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++) {
        if (!node_is_fresh(&values[members[i].slot]))
            return NULL;
        candidates[i] = candidate_of(values, members[i].slot, members[i].service_ordinal, now_ns);
    }
    uint32_t best = candidates_best(candidates, PICK_CANDIDATES_MAX);
    *ret_job = (int32_t)job_units_of(candidates[best].job_s);
    return &values[candidates[best].slot];
}

/* ---- turns ----
 *
 * Weighted round robin: each in turn, a slower one in fewer of the laps. Whether what is known is too old is seen from the best of four.
 * When it is for all four, the service counts as turning: whose turn it is, is drawn, as under round-robin, and its memory waited for with
 * that of the whole batch. Now and then four are drawn to see whether it is still so. */

#define TURN_LOOKS 64u /* one in so many picks looks */

/* What is known of the node is too old for how short its jobs are. A load does not age as queues do. */
static inline bool is_for_turns(const struct node_values *there, struct snapshot_member member, int32_t turn)
{
    int32_t job = finish_code_units[job_code_of(there, member)];
    return job > 0 && job < turn && !node_is_level(there);
}

static inline uint32_t turn_index(uint64_t service_id)
{
    return hash_mix(service_id) % POLICY_CURSORS;
}

/* Of services of one index, the first. */
static void turning_begin(struct pick_state *state, struct node_values *values, const struct pick_item *item, int32_t turn)
{
    uint64_t *turning = &state->turning[turn_index(item->service_id)];
    if (*turning != 0 || item->service_id == 0)
        return;
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++)
        if (!is_for_turns(member_values(values, item->candidate[i]), item->candidate[i], turn))
            return;
    *turning = item->service_id;
    state->turning_count++;
}

static void turning_end(struct pick_state *state, uint64_t service_id)
{
    uint64_t *turning = &state->turning[turn_index(service_id)];
    if (*turning != service_id || service_id == 0)
        return;
    *turning = 0;
    state->turning_count--;
}

static void turn_note(struct finish_time *finish, uint64_t now_ns)
{
    if (now_ns - atomic_load_explicit(&finish->turned_ns, memory_order_relaxed) >= TURN_NOTE_NS)
        atomic_store_explicit(&finish->turned_ns, now_ns, memory_order_relaxed);
}

/* Whether the member takes this turn; it is handed out then. */
static inline bool turn_takes(struct pick_state *state, struct node_values *values, uint64_t service_id, uint32_t member_count,
                              struct snapshot_member member, uint32_t turn)
{
    const struct node_values *there = member_values(values, member);
    float job_s = code_to_s(job_code_of(there, member));
    if (UNLIKELY(!node_is_fresh(there) || !(job_s > 0) || wait_s(there, state->now_ns) > TURN_WAIT_JOBS * job_s))
        return false;
    float *fastest = &state->turn_peak[turn_index(service_id)];
    float speed = slots_of(there) / job_s, peak = larger(speed, *fastest * TURN_PEAK_FADING);
    *fastest = peak;
    /* The whole part of lap × share grows in just that share of the laps; not in the same ones for all. */
    uint32_t laps = turn / member_count;
    double lap = laps + (double)(member.slot % 64) / 64, share = (double)(speed / peak);
    if ((uint64_t)((lap + 1) * share) == (uint64_t)(lap * share))
        return false;
    state->turns++;
    turn_note(state->finish, state->now_ns);
    return true;
}

/* The slot of the next one that takes its turn. PICK_UNSURE: none within reach, or it is one that gets none. `general`: as above. */
static __attribute__((noinline)) int pick_in_turn(struct pick_state *state, struct node_values *values, uint64_t service_id,
                                                  const struct snapshot_member members[], uint32_t member_count,
                                                  const struct pick *general)
{
    uint32_t *cursor = &state->cursor[turn_index(service_id)];
    for (uint32_t i = 0; i < TURN_TRIES; i++) {
        uint32_t turn = (*cursor)++;
        struct snapshot_member member = members[turn % member_count];
        if (UNLIKELY(node_is_level(member_values(values, member))))
            return PICK_UNSURE;
        if (!is_refused(general, member.slot) && turn_takes(state, values, service_id, member_count, member, turn))
            return (int)member.slot;
    }
    return PICK_UNSURE;
}

/* ---- batches ---- */

/* The values of fewer nodes fit into the cache nearest to memory that is a core's own, often 1 MiB. */
#define NODES_MANY 16384u

/* Of so few two and who stands behind each are all, or nearly. */
#define NODES_FEW 3u

/* Each candidate walks through the members by steps of its own, in parts of 2^32: the fractions of the roots of 2, 3, 5 and 7. So each passes over
 * every node equally often and in equal distances (Weyl 1916), and none meets the same others again and again; by chance, nodes would go
 * unseen for long now and then, and what is known of them would help nobody. */
static const uint32_t walk_steps[PICK_CANDIDATES_MAX] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a};

static inline uint32_t walk_on(uint32_t walk[static PICK_CANDIDATES_MAX], uint32_t index, uint32_t count)
{
    walk[index] += walk_steps[index];
    return (uint32_t)((uint64_t)walk[index] * count >> 32);
}

/* Four; that two of them may be the same costs less than looking. Of two or three nodes, two and who stands behind each: the better one would
 * be left out too often. */
static inline __attribute__((always_inline)) void draw_few(struct pick_batch *batch, struct pick_item *item,
                                                           uint32_t walk[static PICK_CANDIDATES_MAX])
{
    uint32_t count = item->member_count, first = walk_on(walk, 0, count), second = walk_on(walk, 1, count);
    uint32_t third = walk_on(walk, 2, count), fourth = walk_on(walk, 3, count);
    if (UNLIKELY(count <= NODES_FEW)) {
        third = first + 1 < count ? first + 1 : 0;
        fourth = second + 1 < count ? second + 1 : 0;
    }
    item_candidate(batch, item, 0, first);
    item_candidate(batch, item, 1, second);
    item_candidate(batch, item, 2, third);
    item_candidate(batch, item, 3, fourth);
}

/* ---- many nodes: a window ----
 *
 * Of many nodes the candidates stay within a window, which moves on through all of them with each pick: each node is looked at while it is in
 * the core's own cache, and the memory of those that come next is asked for long before. Anywhere among all, each pick would wait for
 * memory that other cores, and other machines on the host, push out of the cache behind the core's own.
 *
 * Nodes of one window are compared with each other alone, so a window must be like the whole: it is made of runs of members whose beginnings
 * leap through all by the golden section (Weyl 1916), so that those of any window lie in nearly equal distances. Members stand in the order
 * in which they joined: a rack of slow ones, which joined together, then has the same part of each window as of the whole, or nearly. A
 * candidate goes through a run with as many picks, and to another of the window's by a step of its walk. */
#define WINDOW_BITS 5
#define WINDOW_RUNS (1u << WINDOW_BITS) /* of 16 services they fit into a cache of 512 KiB */
#define WINDOW_STEP 2u /* runs that come into the window while candidates go through theirs */
#define WINDOW_AHEAD 4u /* runs: so long before one comes in its values are asked for */
#define WINDOW_MEMBERS_AHEAD 20u /* runs: and which nodes they are of, so long before */
#define WINDOW_LEAP 0x9e3779b9u /* from one run to the next, in parts of 2^32 of the members */

/* As walk_steps, but the root of 11 for that of 5: the golden section is made of that, and two leaps, by which the window moves on, are a
 * step by it. The candidate's place within the window and the window's would be one and the same, and a fifth of the nodes never its. */
static const uint32_t window_steps[PICK_CANDIDATES_MAX] = {0x6a09e667, 0xbb67ae85, 0x510e527f, 0xa54ff53a};

static inline uint32_t window_position(uint32_t place, uint32_t at, uint32_t count)
{
    uint32_t position = (uint32_t)((uint64_t)place * count >> 32) + at;
    return LIKELY(position < count) ? position : position - count;
}

static inline void window_move(struct pick_window *window, uint32_t first_run, uint32_t walk[static PICK_CANDIDATES_MAX],
                               const struct pick_item *item)
{
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++) {
        walk[i] += window_steps[i];
        window->begin[i] = (first_run + (walk[i] >> (32 - WINDOW_BITS))) * WINDOW_LEAP;
    }
    for (uint32_t i = 0; i < WINDOW_STEP; i++) {
        uint32_t place = (first_run + WINDOW_RUNS + WINDOW_MEMBERS_AHEAD + i) * WINDOW_LEAP;
        __builtin_prefetch(&item->members[window_position(place, 0, item->member_count)]);
        __builtin_prefetch(&item->members[window_position(place, PICK_WINDOW_RUN - 1, item->member_count)]);
    }
}

static inline __attribute__((always_inline)) void draw_window(struct pick_batch *batch, struct pick_item *item,
                                                              uint32_t walk[static PICK_CANDIDATES_MAX])
{
    uint32_t count = item->member_count;
    struct pick_window *window = &batch->state->windows[token_ring_index(item->service_id)];
    uint32_t picks = window->picks++, at = picks % PICK_WINDOW_RUN, first_run = picks / PICK_WINDOW_RUN * WINDOW_STEP;
    if (at == 0)
        window_move(window, first_run, walk, item);
    for (uint32_t i = 0; i < WINDOW_STEP; i++) {
        uint32_t place = (first_run + WINDOW_RUNS + WINDOW_AHEAD + i) * WINDOW_LEAP;
        __builtin_prefetch(member_values(batch->values, item->members[window_position(place, at, count)]), 1);
    }
    /* Two that are in one run look at different nodes of it. */
    item_candidate(batch, item, 0, window_position(window->begin[0], at, count));
    item_candidate(batch, item, 1, window_position(window->begin[1], (at + 4) % PICK_WINDOW_RUN, count));
    item_candidate(batch, item, 2, window_position(window->begin[2], (at + 8) % PICK_WINDOW_RUN, count));
    item_candidate(batch, item, 3, window_position(window->begin[3], (at + 12) % PICK_WINDOW_RUN, count));
}

static inline __attribute__((always_inline)) void draw_four(struct pick_batch *batch, struct pick_item *item,
                                                            uint32_t walk[static PICK_CANDIDATES_MAX])
{
    if (item->member_count < NODES_MANY)
        draw_few(batch, item, walk);
    else
        draw_window(batch, item, walk);
}

static inline void draw_turn(struct pick_batch *batch, struct pick_item *item)
{
    item->turn = batch->state->cursor[turn_index(item->service_id)]++;
    item_candidate(batch, item, 0, item->turn % item->member_count);
}

static __attribute__((noinline)) void draw_some_in_turn(struct pick_batch *batch)
{
    struct pick_state *state = batch->state;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint64_t id = item->service_id;
        /* Tokens are compared with the best of four. */
        item->in_turn = id != 0 && state->turning[turn_index(id)] == id && random_below(&state->random, TURN_LOOKS) != 0 &&
                        !idle_tokens_exist(state->finish->tokens, id);
        if (item->in_turn)
            draw_turn(batch, item);
        else
            draw_four(batch, item, state->walk);
    }
}

static void finish_time_draw(struct pick_batch *batch)
{
    batch->drew_turns = batch->state->turning_count != 0;
    if (UNLIKELY(batch->drew_turns)) {
        draw_some_in_turn(batch);
        return;
    }
    uint32_t walk[PICK_CANDIDATES_MAX]; /* a copy that no store can change: it stays in registers */
    memcpy(walk, batch->state->walk, sizeof(walk));
    for (uint32_t i = 0; i < batch->item_count; i++)
        draw_four(batch, &batch->items[i], walk);
    memcpy(batch->state->walk, walk, sizeof(walk));
}

/* The slot, or PICK_UNSURE. */
static inline __attribute__((always_inline)) int pick_of_four(struct pick_state *state, struct node_values *values,
                                                              const struct pick_item *item, const struct finish_moment *moment)
{
    struct contender best = best_of_four(values, item->candidate, moment->now);
    int slot = PICK_UNSURE;
    if (UNLIKELY(best.job < 0)) {
        best.there = best_of_any(values, item->candidate, state->now_ns, &best.job);
        if (!best.there)
            return PICK_UNSURE;
    }
    if (UNLIKELY(!node_is_fresh(best.there)))
        return PICK_UNSURE;
    if (UNLIKELY(idle_tokens_exist(state->finish->tokens, item->service_id)))
        slot = finish_pick_idle(state, values, item->service_id, NULL, best, moment);
    if (slot == PICK_UNSURE && UNLIKELY(best.job < moment->turn)) {
        turning_begin(state, values, item, moment->turn);
        slot = pick_in_turn(state, values, item->service_id, item->members, item->member_count, NULL);
    }
    if (slot == PICK_UNSURE) {
        node_gets(best.there, (uint32_t)best.job, moment->jobs, moment);
        slot = (int)(best.there - values);
    }
    pick_count(&values[slot]);
    return slot;
}

/* The one whose turn was drawn, or the next that takes its own. PICK_UNSURE: turns are not for all of the service's nodes. */
static int turn_pick(struct pick_state *state, struct node_values *values, const struct pick_item *item, int32_t turn)
{
    int slot = (int)item->candidate[0].slot;
    if (UNLIKELY(!is_for_turns(&values[slot], item->candidate[0], turn)))
        return PICK_UNSURE;
    if (UNLIKELY(!turn_takes(state, values, item->service_id, item->member_count, item->candidate[0], item->turn)))
        slot = pick_in_turn(state, values, item->service_id, item->members, item->member_count, NULL);
    if (slot != PICK_UNSURE)
        pick_count(&values[slot]);
    return slot;
}

static __attribute__((noinline)) void choose_some_in_turn(struct pick_batch *batch, const struct finish_moment *moment)
{
    struct pick_state *state = batch->state;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint64_t turns = state->turns;
        item->result = item->in_turn ? turn_pick(state, batch->values, item, moment->turn)
                                     : pick_of_four(state, batch->values, item, moment);
        if (UNLIKELY(state->turns == turns))
            turning_end(state, item->service_id);
    }
}

static void finish_time_choose_batch(struct pick_batch *batch)
{
    struct finish_moment moment = finish_moment_of(batch->state);
    if (UNLIKELY(batch->drew_turns)) {
        choose_some_in_turn(batch, &moment);
        return;
    }
    for (uint32_t i = 0; i < batch->item_count; i++)
        batch->items[i].result = pick_of_four(batch->state, batch->values, &batch->items[i], &moment);
}

/* What a batch does with one item, for a request with demands of its own: most often that of a client whose node has just failed. */
static const struct snapshot_member *finish_time_choose(struct pick *pick)
{
    struct pick_state *state = pick->state;
    struct node_values *values = pick->values;
    uint64_t service_id = pick->query->service_id;
    struct candidate candidates[PICK_CANDIDATES_MAX];
    const struct snapshot_member *members[PICK_CANDIDATES_MAX];
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++) {
        members[i] = pick_at_random(pick);
        if (!members[i])
            return NULL;
        candidates[i] = candidate_of(values, members[i]->slot, members[i]->service_ordinal, state->now_ns);
    }
    uint32_t drawn = candidates_best(candidates, PICK_CANDIDATES_MAX);
    struct contender best = {&values[candidates[drawn].slot], (int32_t)job_units_of(candidates[drawn].job_s)};
    struct finish_moment moment = finish_moment_of(state);
    int slot = PICK_UNSURE;
    /* Of expired nodes neither says anything. */
    if (pick->demand != DEMAND_ANY && idle_tokens_exist(state->finish->tokens, service_id))
        slot = finish_pick_idle(state, values, service_id, pick, best, &moment);
    if (slot == PICK_UNSURE && pick->demand != DEMAND_ANY && best.job < moment.turn)
        slot = pick_in_turn(state, values, service_id, pick->members, pick->member_count, pick);
    if (slot == PICK_UNSURE) {
        node_gets(best.there, (uint32_t)best.job, moment.jobs, &moment);
        return members[drawn];
    }
    pick->found = (struct snapshot_member){.slot = (uint32_t)slot & (SNAPSHOT_SLOTS_MAX - 1)};
    return &pick->found;
}

static void finish_time_keys(const struct pick_state *state, const struct node_values *values,
                             const struct snapshot_member members[], uint32_t count, float ret_keys[])
{
    struct candidate candidates[PICK_CANDIDATES_MAX];
    DEBUG_CHECK(count <= PICK_CANDIDATES_MAX);
    for (uint32_t i = 0; i < count; i++)
        candidates[i] = candidate_of(values, members[i].slot, members[i].service_ordinal, state->now_ns);
    finish_candidates_complete(candidates, count);
    for (uint32_t i = 0; i < count; i++)
        ret_keys[i] = candidate_key(&candidates[i]);
}

const struct policy_methods finish_time_methods = {
    .choose = finish_time_choose,
    .keys = finish_time_keys,
    .draw = finish_time_draw,
    .candidate_count = PICK_CANDIDATES_MAX,
    .choose_batch = finish_time_choose_batch,
};
