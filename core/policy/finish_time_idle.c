/* Picks of finish-time: nodes that have said, or look as if, they had nothing to do. */
#include "core/policy/finish_time_internal.h"

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

int finish_pick_idle(struct pick_state *state, struct node_values *values, uint64_t service_id, const struct pick *general,
                     struct contender best_drawn, const struct finish_moment *moment)
{
    struct candidate drawn = {.job_s = (float)best_drawn.job * FINISH_UNIT_S, .wait_s = wait_s(best_drawn.there, state->now_ns)};
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
    node_gets(&values[slot], job_units_of(candidates[best].job_s), told ? 1 : moment->jobs, moment);
    state->idle_picks++;
    return (int)slot;
}
