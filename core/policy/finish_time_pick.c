/* Picks of finish-time: the best of four, an idle one, or the next in turn. */
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

static inline uint8_t job_code_of(const struct node_values *values, struct snapshot_member member)
{
    return atomic_load_explicit(&values->job_codes[member.service_ordinal % VALUES_SERVICES_MAX], memory_order_relaxed);
}

/* ---- four at once ----
 *
 * What candidates_best does, for the usual case, in vectors of four, and in whole numbers: without a branch that depends on chance, which
 * costs more than all else here. */

typedef int32_t int_4 __attribute__((vector_size(16)));
_Static_assert(PICK_CANDIDATES_MAX == 4, "in one vector");

/* The keys, the last two bits of which give way to the candidate's index. */
static inline int_4 ranks_of(int_4 waits, int_4 jobs)
{
    int_4 idle = waits >> IDLE_SHARE_BITS, positive = waits > idle;
    int_4 keys = ((waits & positive) | (idle & ~positive)) + jobs;
    return (keys & ~3) | (int_4){0, 1, 2, 3};
}

/* Some have not told how long their jobs take, or are not fresh. */
static __attribute__((noinline, cold)) int best_of_any(const struct node_values *values, const struct snapshot_member members[],
                                                       uint64_t now_ns, float *ret_job_s)
{
    struct candidate candidates[PICK_CANDIDATES_MAX];
    for (uint32_t i = 0; i < PICK_CANDIDATES_MAX; i++) {
        if (!node_is_fresh(&values[members[i].slot]))
            return PICK_UNSURE;
        candidates[i] = candidate_of(values, members[i].slot, members[i].service_ordinal, now_ns);
    }
    uint32_t best = candidates_best(candidates, PICK_CANDIDATES_MAX);
    *ret_job_s = candidates[best].job_s;
    return (int)best;
}

/* The best one's index; PICK_UNSURE: not all of them are fresh. */
static inline int best_of_four(const struct node_values *values, const struct snapshot_member members[], uint64_t now_ns,
                               float *ret_job_s)
{
    const struct node_values *a = &values[members[0].slot], *b = &values[members[1].slot];
    const struct node_values *c = &values[members[2].slot], *d = &values[members[3].slot];
    uint8_t codes[4] = {job_code_of(a, members[0]), job_code_of(b, members[1]), job_code_of(c, members[2]),
                        job_code_of(d, members[3])};
    /* One branch, not eight. */
    unsigned usual =
        (unsigned)node_is_fresh(a) & (unsigned)node_is_fresh(b) & (unsigned)node_is_fresh(c) & (unsigned)node_is_fresh(d);
    usual &= (unsigned)(codes[0] != 0) & (unsigned)(codes[1] != 0) & (unsigned)(codes[2] != 0) & (unsigned)(codes[3] != 0);
    if (UNLIKELY(!usual))
        return best_of_any(values, members, now_ns, ret_job_s);
    int_4 ranks = ranks_of((int_4){wait_units(a, now_ns), wait_units(b, now_ns), wait_units(c, now_ns), wait_units(d, now_ns)},
                           (int_4){finish_code_units[codes[0]], finish_code_units[codes[1]], finish_code_units[codes[2]],
                                   finish_code_units[codes[3]]});
    int32_t first = ranks[0] < ranks[1] ? ranks[0] : ranks[1], second = ranks[2] < ranks[3] ? ranks[2] : ranks[3];
    int best = (first < second ? first : second) & 3;
    *ret_job_s = code_to_s(codes[best]);
    return best;
}

/* The node gets so many jobs more. */
static inline void node_gets(struct node_values *values, float job_s, float jobs, uint64_t now_ns)
{
    const float units_max = FINISH_LEFT_S_MAX / FINISH_UNIT_S;
    float share = 1 / slots_of(values) * (1 / FINISH_UNIT_S), mean = mean_s(values);
    float idle = mean * share - mean * (1 / FINISH_UNIT_S); /* all slots are free */
    float wait = larger((float)wait_units(values, now_ns), idle) + jobs * job_s * share;
    uint32_t free = (uint32_t)(now_ns >> FINISH_UNIT_BITS) + (uint32_t)(int32_t)smaller(wait, units_max);
    atomic_store_explicit(&values->free, free, memory_order_relaxed);
}

/* In the general case, not to be handed out for this request: excluded, or chosen already. */
static bool is_refused(const struct pick *general, uint32_t slot)
{
    return general != NULL && !pick_accepts(general, (struct snapshot_member){.slot = slot & (SNAPSHOT_SLOTS_MAX - 1)});
}

/* Which of the tokens found may be used; those that hold no longer are put away. True: these nodes have told this dispatcher alone.
 * `general`: NULL, or the pick that has demands of its own; what does not meet these stays where it is. */
static bool tokens_sift(struct pick_state *state, struct node_values *values, uint64_t service_id, const struct pick *general,
                        struct idle_token found[], uint32_t *count, struct candidate candidates[])
{
    bool told = false;
    uint32_t used = 0;
    for (uint32_t i = 0; i < *count; i++) {
        struct node_values *there = &values[found[i].slot];
        bool same = node_values_tenure(there) == found[i].tenure;
        bool tells = node_tells_idle(there);
        struct candidate candidate = candidate_of(values, found[i].slot, found[i].ordinal, state->now_ns);
        if (!same || !node_is_fresh(there) || !candidate_is_idle(&candidate, tells)) {
            if (idle_tokens_take(state->finish->tokens, service_id, &found[i]) && same)
                token_clear(there);
            continue;
        }
        if (is_refused(general, found[i].slot))
            continue;
        if (tells && !told)
            used = 0;
        told |= tells;
        if (tells != told)
            continue;
        candidates[used] = candidate;
        found[used++] = found[i];
    }
    *count = used;
    return told;
}

/* The slot of an idle node that is to be preferred to the best of those drawn, or PICK_UNSURE. */
static __attribute__((noinline)) int pick_idle(struct pick_state *state, struct node_values *values, uint64_t service_id,
                                               const struct pick *general, struct snapshot_member member, float job_s,
                                               float dispatchers)
{
    struct candidate drawn = candidate_of(values, member.slot, member.service_ordinal, state->now_ns);
    drawn.job_s = job_s;
    struct idle_token found[TOKEN_SAMPLES];
    struct candidate candidates[TOKEN_SAMPLES];
    uint32_t count = idle_tokens_sample(state->finish->tokens, service_id, &state->random, found);
    bool told = tokens_sift(state, values, service_id, general, found, &count, candidates);
    if (count == 0)
        return PICK_UNSURE;
    uint32_t best = candidates_best(candidates, count);
    if (candidate_key(&drawn) < idle_share(told) * candidate_key(&candidates[best]))
        return PICK_UNSURE;
    uint32_t slot = found[best].slot;
    if (!idle_tokens_take(state->finish->tokens, service_id, &found[best]))
        return PICK_UNSURE;
    token_clear(&values[slot]);
    node_gets(&values[slot], candidates[best].job_s, told ? 1 : dispatchers, state->now_ns);
    state->idle_picks++;
    return (int)slot;
}

static void turn_note(struct finish_time *finish, uint64_t now_ns)
{
    if (now_ns - atomic_load_explicit(&finish->turned_ns, memory_order_relaxed) >= TURN_NOTE_NS)
        atomic_store_explicit(&finish->turned_ns, now_ns, memory_order_relaxed);
}

/* Weighted round robin: each in turn, a slower one in fewer of the laps. PICK_UNSURE: none within reach. `general`: as above. */
static __attribute__((noinline, cold)) int pick_in_turn(struct pick_state *state, struct node_values *values, uint64_t service_id,
                                                        const struct snapshot_member members[], uint32_t member_count,
                                                        const struct pick *general)
{
    uint32_t at = hash_mix(service_id) % POLICY_CURSORS;
    for (uint32_t i = 0; i < TURN_TRIES; i++) {
        uint32_t turn = state->cursor[at]++;
        struct snapshot_member member = members[turn % member_count];
        const struct node_values *there = &values[member.slot];
        float job_s = code_to_s(
            atomic_load_explicit(&there->job_codes[member.service_ordinal % VALUES_SERVICES_MAX], memory_order_relaxed));
        if (!node_is_fresh(there) || !(job_s > 0) || wait_s(there, state->now_ns) > TURN_WAIT_JOBS * job_s ||
            is_refused(general, member.slot))
            continue;
        float speed = slots_of(there) / job_s;
        float peak = state->turn_peak[at] * TURN_PEAK_FADING;
        state->turn_peak[at] = peak = speed > peak ? speed : peak;
        /* The whole part of lap × share grows in just that share of the laps; not in the same ones for all. */
        uint32_t laps = turn / member_count;
        double lap = laps + (double)(member.slot % 64) / 64, share = (double)(speed / peak);
        if ((uint64_t)((lap + 1) * share) > (uint64_t)(lap * share)) {
            state->turns++;
            turn_note(state->finish, state->now_ns);
            return (int)member.slot;
        }
    }
    return PICK_UNSURE;
}

/* So many nodes' values fit into the cache nearest to memory that is a core's own. */
#define NODES_MANY 8192u

/* Four at random; that two of them may be the same costs less than looking. Where there are many, two and who stands behind each: the
 * values of neighbours lie beside each other, so that the memory of four costs hardly more than that of two. Where there are few that
 * would show: neighbours meet again too often. */
static void finish_time_draw(struct pick_batch *batch)
{
    struct random_state *random = &batch->state->random;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        uint32_t first, second, third, fourth, count = item->member_count;
        random_below_two(random, count, count, &first, &third);
        if (count < NODES_MANY) {
            random_below_two(random, count, count, &second, &fourth);
        } else {
            second = first + 1 < count ? first + 1 : 0;
            fourth = third + 1 < count ? third + 1 : 0;
        }
        item_candidate(batch, item, 0, first);
        item_candidate(batch, item, 1, second);
        item_candidate(batch, item, 2, third);
        item_candidate(batch, item, 3, fourth);
    }
}

static void finish_time_choose_batch(struct pick_batch *batch)
{
    struct pick_state *state = batch->state;
    struct node_values *values = batch->values;
    float dispatchers = (float)atomic_load_explicit(&state->finish->dispatchers, memory_order_relaxed);
    float turn_s = finish_time_age_s(state->finish) / TURN_AGE_JOBS;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        struct pick_item *item = &batch->items[i];
        float job_s;
        int best = best_of_four(values, item->candidate, state->now_ns, &job_s);
        item->result = PICK_UNSURE;
        if (UNLIKELY(best < 0))
            continue;
        if (idle_tokens_exist(state->finish->tokens, item->service_id))
            item->result = pick_idle(state, values, item->service_id, NULL, item->candidate[best], job_s, dispatchers);
        if (item->result == PICK_UNSURE && UNLIKELY(job_s < turn_s))
            item->result = pick_in_turn(state, values, item->service_id, item->members, item->member_count, NULL);
        if (item->result == PICK_UNSURE) {
            item->result = (int)item->candidate[best].slot;
            node_gets(&values[item->result], job_s, dispatchers, state->now_ns);
        }
        pick_count(&values[item->result]);
    }
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
    uint32_t best = candidates_best(candidates, PICK_CANDIDATES_MAX);
    float job_s = candidates[best].job_s;
    float dispatchers = (float)atomic_load_explicit(&state->finish->dispatchers, memory_order_relaxed);
    int slot = PICK_UNSURE;
    /* Of expired nodes neither says anything. */
    if (pick->demand != DEMAND_ANY && idle_tokens_exist(state->finish->tokens, service_id))
        slot = pick_idle(state, values, service_id, pick, *members[best], job_s, dispatchers);
    if (slot == PICK_UNSURE && pick->demand != DEMAND_ANY && job_s < finish_time_age_s(state->finish) / TURN_AGE_JOBS)
        slot = pick_in_turn(state, values, service_id, pick->members, pick->member_count, pick);
    if (slot == PICK_UNSURE) {
        node_gets(&values[members[best]->slot], job_s, dispatchers, state->now_ns);
        return members[best];
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
