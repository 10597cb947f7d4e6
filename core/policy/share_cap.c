#include "core/policy/share_cap.h"

#include <math.h>

#include "core/base/hash.h"
#include "core/policy/finish_time.h"

/* How often it is looked at whether a node has had more than its share. What it had in a time so long that there can't have been reports
 * (no resource manager, another policy) was not given to it because of these. */
#define SHARE_NS UINT64_C(1000000000)
#define SHARE_SPAN_MAX_NS (30 * SHARE_NS)
#define SHARE_PICKS_MIN 20u
#define HELD_NS_MAX 600e9
#define ALONE_MAX 1.5
#define EXCESS_SURE 1.0 /* no rise of the load makes it look so: no second look is needed */

/* How fast what is typical moves towards what a node claims, for a second in which it was there. */
#define TYPICAL_STEP 0.25f

/* A job is quick that takes no longer than four times the median: 8 codes are a factor of 2. Each node has a step of 9 % in that a second: one that
 * draws all jobs must not make its own times the usual ones. */
#define QUICK_CODES 16

/* By so much may a node that claims more slots than are typical have more than its clients' jobs have shown, so that it can show more.
 * Less than the cap itself: at 85 % load a node that is full does 1.2 times its share. */
#define PROVEN_GROWTH 1.5
#define PROVEN_JOBS_MIN 20.0 /* of all nodes, to say anything */

/* Picks can be taken back, so the later number may be the smaller one. */
static uint32_t picks_between(uint32_t before, uint32_t after)
{
    int32_t count = (int32_t)(after - before);
    return count > 0 ? (uint32_t)count : 0;
}

static double smaller_of(double a, double b)
{
    return a < b ? a : b;
}

static double larger_of(double a, double b)
{
    return a > b ? a : b;
}

/* Up or down by a step, but not beyond: those who agree hold it where they are, whatever a few claim. span_s 0: a node that has just come. With
 * those it goes straight down: who was there before may be one that claims too much. */
static void typical_move(struct share_kind *kind, uint32_t slots, double span_s)
{
    float claimed = (float)slots, factor = 1 + TYPICAL_STEP * (float)smaller_of(span_s, 1);
    if (!(kind->slots > 0) || (span_s <= 0 && claimed < kind->slots))
        kind->slots = claimed;
    else if (claimed > kind->slots)
        kind->slots = kind->slots * factor < claimed ? kind->slots * factor : claimed;
    else
        kind->slots = kind->slots / factor > claimed ? kind->slots / factor : claimed;
}

static void kind_add(struct share_kind *kind, double proven_slots, uint32_t picks, uint32_t slots, double span_s,
                     double *own_slot_s)
{
    typical_move(kind, slots, span_s);
    kind->picks += picks;
    kind->slot_s += smaller_of(slots, larger_of((double)kind->slots, proven_slots)) * span_s;
    *own_slot_s += smaller_of(slots, (double)kind->slots) * span_s;
}

static struct share_mark mark_of(const struct share_kind *kind)
{
    return (struct share_mark){kind->picks, kind->slot_s, kind->done};
}

static struct share_mark since(const struct share_kind *kind, const struct share_mark *mark)
{
    return (struct share_mark){kind->picks - mark->picks, kind->slot_s - mark->slot_s, kind->done - mark->done};
}

/* What its kind had since the marks, and itself; who is alone of its kind, and might have made that kind up, is compared with all. */
static struct share_mark had_since_marks(const struct share_cap *cap, const struct share_track *track, double *ret_slot_s,
                                         double *ret_done)
{
    struct share_mark had = since(&cap->kinds[track->kind], &track->kind_mark);
    double proven_slot_s = (double)track->proven_slots * (double)(track->seen_ns - track->marked_ns) * 1e-9;
    bool alone = had.slot_s < ALONE_MAX * larger_of(track->slot_s, proven_slot_s);
    *ret_slot_s = alone ? track->slot_s_of_all : track->slot_s;
    *ret_done = alone ? track->done_of_all : track->done;
    return alone ? since(&cap->all, &track->all_mark) : had;
}

/* How many times the picks that it should have had at most the node has had since share_ns; 0: too few to tell. */
static double share_drawn(const struct share_cap *cap, struct share_track *track, uint32_t picks, uint32_t slots, uint64_t now_ns)
{
    double own_slot_s, done;
    struct share_mark had = had_since_marks(cap, track, &own_slot_s, &done);
    uint32_t count = picks_between(track->picks_mark, picks);
    double marked_s = (double)(now_ns - track->marked_ns) * 1e-9, span_s = (double)(now_ns - track->share_ns) * 1e-9;
    if (had.slot_s > 0)
        track->usual = (float)(had.picks / had.slot_s);
    if (had.done >= PROVEN_JOBS_MIN)
        track->proven_slots = (float)(done / had.done * had.slot_s / marked_s);
    if (count < SHARE_PICKS_MIN || !(had.slot_s > 0) || !(own_slot_s > 0))
        return 0;
    double plain = cap->max * own_slot_s / marked_s;
    double shown = smaller_of(cap->max * slots, PROVEN_GROWTH * (double)track->proven_slots);
    return count / (had.picks / had.slot_s * larger_of(plain, shown) * span_s);
}

static void span_begin(const struct share_cap *cap, struct share_track *track, uint32_t picks, uint64_t share_ns, uint64_t now_ns)
{
    track->share_ns = share_ns;
    track->marked_ns = now_ns;
    track->picks_mark = picks;
    track->kind_mark = mark_of(&cap->kinds[track->kind]);
    track->all_mark = mark_of(&cap->all);
    track->done = track->done_of_all = 0;
    track->slot_s = track->slot_s_of_all = 0;
}

/* The others' picks are counted as reports come, the node's own at once: when the load rises it seems to have more than the others for a
 * while, so one such span is not believed, but two of them together. */
static void share_look(struct share_cap *cap, struct share_track *track, uint32_t picks, uint32_t slots, uint64_t now_ns)
{
    uint64_t span_ns = now_ns - track->share_ns;
    double excess = share_drawn(cap, track, picks, slots, now_ns) - 1;
    bool over = cap->max > 0 && span_ns <= SHARE_SPAN_MAX_NS && excess > 0;
    if (over && span_ns < 2 * SHARE_NS && excess < EXCESS_SURE)
        return;
    double held_ns = excess * (double)span_ns;
    if (over)
        track->held_ns = now_ns + (uint64_t)smaller_of(held_ns, HELD_NS_MAX);
    /* The time for which it is held makes up for this span, and not for the next one too. */
    span_begin(cap, track, picks, over ? track->held_ns : now_ns, now_ns);
}

void share_cap_report(struct share_cap *cap, struct share_track *track, uint32_t picks, uint32_t slots, uint64_t kind,
                      uint64_t now_ns)
{
    uint32_t index = (uint32_t)(hash_mix(kind) % SHARE_KINDS);
    bool first = track->seen_ns == 0;
    if (track->kind != index) { /* compared with all, in this span: also who changes its kind all the time */
        track->kind = index;
        track->kind_mark = (struct share_mark){.slot_s = INFINITY};
    }
    uint32_t count = first ? 0 : picks_between(track->seen, picks);
    double span_s = first ? 0 : (double)(now_ns - track->seen_ns) * 1e-9, proven_slots = (double)track->proven_slots;
    kind_add(&cap->kinds[index], proven_slots, count, slots, span_s, &track->slot_s);
    kind_add(&cap->all, proven_slots, count, slots, span_s, &track->slot_s_of_all);
    track->seen = picks;
    track->seen_ns = now_ns;
    if (first)
        span_begin(cap, track, picks, now_ns, now_ns);
    else if (now_ns >= track->share_ns + SHARE_NS)
        share_look(cap, track, picks, slots, now_ns);
}

static bool latency_is_quick(struct share_kind *kind, uint8_t code, bool moves)
{
    if (kind->latency_code == 0)
        kind->latency_code = code;
    else if (moves && code > kind->latency_code)
        kind->latency_code++;
    else if (moves && code < kind->latency_code)
        kind->latency_code--;
    return code <= kind->latency_code + QUICK_CODES;
}

void share_cap_done(struct share_cap *cap, struct share_track *track, float latency_s, uint64_t now_ns)
{
    uint8_t code = finish_time_code(latency_s);
    if (track->seen_ns == 0)
        return;
    bool moves = now_ns >= track->told_ns + SHARE_NS;
    if (moves)
        track->told_ns = now_ns;
    cap->kinds[track->kind].done++;
    cap->all.done++;
    track->done += latency_is_quick(&cap->kinds[track->kind], code, moves);
    track->done_of_all += latency_is_quick(&cap->all, code, moves);
}
