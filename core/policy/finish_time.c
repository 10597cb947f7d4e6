/* Reports and tokens: what is known of the nodes. How a node is picked by it: finish_time_pick.c. */
#include "core/policy/finish_time.h"

#include <math.h>

#include "core/policy/finish_time_internal.h"

/* A pick that has not become a job after so long never will: clients go to their nodes at once. */
#define UNDER_WAY_NS UINT64_C(100000000)

/* A node that should have been idle for long is not the more attractive for it: so many jobs of each dispatcher at most. */
#define CREDIT_JOBS 4

/* Nodes that look idle join the idle ones only where reports are older than a job when they come. With fresher ones all dispatchers
 * know of the same idle nodes at once, and meet there. */
#define IDLE_AGE_JOBS 1

#define AGE_WEIGHT 0.02f
#define AGE_RISE_MAX 4

/* What clients say of how long jobs take on a node that nobody is sent to is believed for so long: it may be wrong, or long past. */
#define TOLD_NS UINT64_C(10000000000)

/* For how long a node has been idle at most. */
#define SETTLED_S 60.0f

/* What a node that does not echo says is how loaded it is, not how long that lasts: it stands until the next report. So it is taken for
 * work that takes many times as long as that, and what passes meanwhile counts for little. */
#define LEVEL_S 20.0f /* with a load of 1 */
#define LEVEL_OCTAVE 0.5f /* what each doubling of a load above 1 adds: loads of 1e6 are told apart within FINISH_LEFT_S_MAX */
#define LEVEL_LOAD_MAX 1e6f

/* Its picks count for so much of its load until the next report, if it gets as many as others: where requests are many, each counts for
 * little, else all nodes would soon look alike again; where all went to one, they would go to another one the next time. */
#define LEVEL_PICKS 0.25f
#define LEVEL_REPORT_S 1.0f /* from a report to the next, where there was only one */

#define OCTAVE(of, factor)                                                                                                       \
    of(1e-6f * (factor)), of(1.0905077e-6f * (factor)), of(1.1892071e-6f * (factor)), of(1.2968396e-6f * (factor)),              \
        of(1.4142136e-6f * (factor)), of(1.5422108e-6f * (factor)), of(1.6817928e-6f * (factor)), of(1.8340081e-6f * (factor))
#define OCTAVES_4(of, factor) OCTAVE(of, factor), OCTAVE(of, 2 * (factor)), OCTAVE(of, 4 * (factor)), OCTAVE(of, 8 * (factor))
#define LAST 2147483648.0f
#define TIMES(of)                                                                                                                \
    OCTAVES_4(of, 1.0f), OCTAVES_4(of, 16.0f), OCTAVES_4(of, 256.0f), OCTAVES_4(of, 4096.0f), OCTAVES_4(of, 65536.0f),           \
        OCTAVES_4(of, 1048576.0f), OCTAVES_4(of, 16777216.0f), OCTAVE(of, LAST / 8), OCTAVE(of, LAST / 4), OCTAVE(of, LAST / 2), \
        of(1e-6f * LAST), of(1.0905077e-6f * LAST), of(1.1892071e-6f * LAST), of(1.2968396e-6f * LAST),                          \
        of(1.4142136e-6f * LAST), of(1.5422108e-6f * LAST), of(1.6817928e-6f * LAST)

#define SECONDS(time_s) (time_s)
/* At least one, so that a time that is known never looks as if it took none. */
#define UNITS_CUT(time_s) ((time_s) < FINISH_UNIT_S ? FINISH_UNIT_S : (time_s) < FINISH_LEFT_S_MAX ? (time_s) : FINISH_LEFT_S_MAX)
#define UNITS(time_s) (int32_t)(UNITS_CUT(time_s) / FINISH_UNIT_S + 0.5f)

const float finish_code_s[UINT8_MAX + 1] = {0, TIMES(SECONDS)};
const int32_t finish_code_units[UINT8_MAX + 1] = {FINISH_UNITS_UNKNOWN, TIMES(UNITS)};

void finish_time_init(struct finish_time *finish, struct idle_tokens *tokens)
{
    *finish = (struct finish_time){.tokens = tokens, .share = {.max = SHARE_MAX}};
    atomic_store_explicit(&finish->dispatchers, 1, memory_order_relaxed);
}

uint8_t finish_time_code(float job_s)
{
    if (!(job_s > 0))
        return 0;
    float code = 1.5f + 8 * log2f(job_s * 1e6f);
    return code < 1 ? 1 : code >= 255 ? 255 : (uint8_t)code;
}

float finish_time_job_s(uint8_t code)
{
    return code_to_s(code);
}

float finish_time_left_s(const struct node_values *values, uint64_t now_ns)
{
    return left_s(values, now_ns);
}

void finish_time_settle(struct node_values *values, uint64_t now_ns)
{
    float left = left_s(values, now_ns);
    if (wait_s(values, now_ns) > FINISH_LEFT_S_MAX) /* it has come round: nothing is known of the node any more */
        left = 0;
    store_left_s(values, left < -SETTLED_S ? -SETTLED_S : left, now_ns);
}

void finish_time_unheld(struct node_values *values)
{
    atomic_fetch_and_explicit(&values->token, (uint8_t)~NODE_TOKEN_HELD, memory_order_relaxed);
}

void finish_time_forget(struct node_values *values, uint64_t now_ns)
{
    token_clear(values);
    atomic_store_explicit(&values->slots, 0, memory_order_relaxed);
    atomic_store_explicit(&values->job_code, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < VALUES_SERVICES_MAX; i++)
        atomic_store_explicit(&values->job_codes[i], 0, memory_order_relaxed);
    store_left_s(values, 0, now_ns);
}

static float not_below_zero(float value)
{
    return value > 0 ? value : 0; /* nor not a number */
}

/* Picks that the report can't know of: those under way. */
static uint32_t picks_unseen(uint32_t picks, struct finish_track *track, const struct finish_report *report, uint64_t now_ns)
{
    if (track->boot_id != report->boot_id) {
        track->boot_id = report->boot_id;
        track->mark_ns = now_ns;
        track->mark = picks;
        track->dead = picks - report->received;
        return 0;
    }
    uint32_t unseen = picks - report->received - track->dead;
    if ((int32_t)unseen < 0) { /* more came than were sent: answers used twice, or believed dead too soon */
        track->dead += unseen;
        unseen = 0;
    }
    if (now_ns - report->age_ns >= track->mark_ns + UNDER_WAY_NS) {
        uint32_t dead = track->mark - report->received - track->dead;
        if ((int32_t)dead > 0) {
            track->dead += dead;
            unseen -= dead;
        }
        track->mark = picks;
        track->mark_ns = now_ns;
    }
    return unseen;
}

/* Picks can be taken back, so the later number may be the smaller one. */
static uint32_t picks_between(uint32_t before, uint32_t after)
{
    int32_t count = (int32_t)(after - before);
    return count > 0 ? (uint32_t)count : 0;
}

/* A node that does not echo has seen all but those of the time since it made its report. */
static uint32_t picks_since(uint32_t picks, struct finish_track *track, const struct finish_report *report, uint64_t now_ns)
{
    uint64_t span_ns = now_ns - track->mark_ns;
    uint32_t unseen = picks_between(track->mark, picks);
    if (unseen > 0 || track->boot_id != report->boot_id)
        track->picked_ns = now_ns;
    if (track->boot_id != report->boot_id)
        unseen = 0;
    else if (span_ns > report->age_ns)
        unseen = (uint32_t)((double)unseen * (double)report->age_ns / (double)span_ns);
    track->boot_id = report->boot_id;
    track->mark = picks;
    track->mark_ns = now_ns;
    return unseen;
}

/* How old a node's report gets before the next one comes, on average: half the distance, and what it was on its way. */
static void age_note(struct finish_time *finish, struct finish_track *track, const struct finish_report *report, uint64_t now_ns)
{
    uint64_t made_ns = now_ns - report->age_ns;
    if (track->reported_ns != 0 && made_ns > track->reported_ns) {
        float age_s = ((float)report->age_ns + (float)(made_ns - track->reported_ns) / 2) * 1e-9f;
        float before_s = atomic_load_explicit(&finish->age_s, memory_order_relaxed);
        if (before_s > 0 && age_s > AGE_RISE_MAX * before_s)
            age_s = AGE_RISE_MAX * before_s; /* one node that was away says little about the others */
        float weight = before_s > 0 ? AGE_WEIGHT : 1;
        atomic_store_explicit(&finish->age_s, before_s + weight * (age_s - before_s), memory_order_relaxed);
    }
    track->reported_ns = made_ns;
}

/* Stores the times of the services' jobs; returns that of an average job on the node, 0: not known. */
static float store_job_times(struct node_values *values, const struct finish_report *report, bool forgotten)
{
    float sum_s = 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < report->service_count; i++) {
        float job_s = not_below_zero(report->job_s[i] * report->queue_factor);
        if (job_s > 0 || report->echoes || forgotten)
            atomic_store_explicit(&values->job_codes[i], finish_time_code(job_s), memory_order_relaxed);
        else /* what clients say of it (feedback.h) */
            job_s = code_to_s(atomic_load_explicit(&values->job_codes[i], memory_order_relaxed));
        sum_s += job_s;
        known += job_s > 0;
    }
    if (report->jobs > 0 && report->work_s > 0)
        return report->work_s * report->queue_factor / (float)report->jobs;
    return known ? sum_s / (float)known : 0;
}

/* The node looks idle: whether to say so, once. */
static bool join_idle(struct node_values *values)
{
    if (atomic_load_explicit(&values->token, memory_order_relaxed) & NODE_TOKEN_HELD)
        return false;
    atomic_fetch_or_explicit(&values->token, NODE_TOKEN_HELD, memory_order_relaxed);
    return true;
}

static float level_s(float load)
{
    float bounded = smaller(not_below_zero(load), LEVEL_LOAD_MAX);
    return LEVEL_S * (bounded < 1 ? bounded : 1 + LEVEL_OCTAVE * log2f(bounded));
}

/* Into as many parts a job's time is to be divided, so that those of the picks which the node is likely to get until its next report, as
 * many as such nodes usually get or as itself has had, add up to LEVEL_PICKS. */
static float level_slots(const struct finish_track *track, const struct finish_report *report, uint32_t picks, float job_s,
                         float dispatchers, uint64_t now_ns)
{
    uint64_t made_ns = now_ns - report->age_ns;
    bool again = track->reported_ns != 0 && made_ns > track->reported_ns;
    float report_s = again ? (float)(made_ns - track->reported_ns) * 1e-9f : LEVEL_REPORT_S;
    float usual = track->share.usual * (float)report->slots * report_s,
          own = again ? (float)picks_between(track->mark, picks) : 0;
    return larger(1, smaller(larger(own, usual) * dispatchers * job_s / (LEVEL_PICKS * LEVEL_S), UINT16_MAX));
}

bool finish_time_report(struct finish_time *finish, struct node_values *values, struct finish_track *track,
                        const struct finish_report *report, uint64_t now_ns)
{
    uint32_t picks = atomic_load_explicit(&values->picks, memory_order_relaxed);
    float dispatchers = (float)atomic_load_explicit(&finish->dispatchers, memory_order_relaxed);
    float slots = (float)report->slots, age_s = (float)report->age_ns * 1e-9f;
    bool forgotten = !report->echoes && track->boot_id == report->boot_id && now_ns >= track->picked_ns + TOLD_NS;
    float job_s = store_job_times(values, report, forgotten);
    float left_s = not_below_zero(report->work_s * report->queue_factor) / slots;
    if (!report->echoes) {
        job_s = job_s > 0 ? job_s : UNKNOWN_JOB_S;
        slots = level_slots(track, report, picks, job_s, dispatchers, now_ns);
        left_s = level_s(report->load);
    }
    uint32_t unseen = report->echoes ? picks_unseen(picks, track, report, now_ns) : picks_since(picks, track, report, now_ns);
    age_note(finish, track, report, now_ns);
    share_cap_report(&finish->share, &track->share, picks, report->slots, report->kind, now_ns);

    left_s += dispatchers * (float)unseen * job_s / slots - age_s;
    float credit_s = CREDIT_JOBS * dispatchers * job_s / slots;
    if (left_s < -credit_s)
        left_s = -credit_s;
    bool held = now_ns < track->share.held_ns;
    if (held)
        left_s += (float)(track->share.held_ns - now_ns) * 1e-9f;
    atomic_store_explicit(&values->job_code, finish_time_code(job_s), memory_order_relaxed);
    atomic_store_explicit(&values->slots, (uint16_t)slots, memory_order_relaxed);
    store_left_s(values, left_s, now_ns);
    if (held || report->jobs >= report->slots) {
        token_clear(values);
        return false;
    }
    return report->echoes && age_s > IDLE_AGE_JOBS * job_s && join_idle(values);
}

bool finish_time_token(struct node_values *values, const struct finish_track *track, uint64_t now_ns)
{
    if (now_ns < track->share.held_ns)
        return false;
    /* At most all slots but one are busy. */
    float most_s = spare_s(values);
    if (left_s(values, now_ns) > most_s)
        store_left_s(values, most_s, now_ns);
    atomic_fetch_or_explicit(&values->token, NODE_TOKEN_IDLE, memory_order_relaxed);
    return join_idle(values);
}
