/* Turns: a thread that shares its CPU with others that never sleep gets it for some milliseconds every some tens of them. What comes in its
 * absence waits for it, and a buffer that has enough for all of its turn gives nothing younger than a good part of that absence; one that
 * does runs dry in the turn. So half of the longest absence may stand: it shows as a pause between two batches although the first
 * was large. Up to four times what else may: clients do not wait for ever. */
#include "core/io/backlog.h"

#include "core/base/clock.h"

/* A ring's receive hands out 32 datagrams before it lets others go on: with fewer there were no more. */
#define BACKLOG_STANDS_COUNT 32u

/* After so long without a small batch the ages are looked at, and as often again while they turn out well. */
#define BACKLOG_STANDS_NS (20 * NS_PER_MS)
#define BACKLOG_LOOK_NS (250 * NS_PER_MS)

/* The kernel begins to stamp a moment after it was told; what has none counts as just arrived. */
#define BACKLOG_SETTLE_NS (20 * NS_PER_MS)
#define BACKLOG_INTERVAL_NS (50 * NS_PER_MS)

/* See Turns. */
#define BACKLOG_AWAY_SHARE(ns) ((ns) / 2)
#define BACKLOG_AGE_TIMES_MAX 4u

void backlog_init(struct backlog *backlog, uint32_t bytes_min, uint32_t bytes_max, uint64_t age_ns_max)
{
    *backlog = (struct backlog){
        .bytes = bytes_max,
        .bytes_min = bytes_min < bytes_max ? bytes_min : bytes_max,
        .bytes_max = bytes_max,
        .age_ns_max = age_ns_max,
    };
}

static void backlog_interval_begin(struct backlog *backlog, uint64_t now_ns, uint64_t interval_ns)
{
    backlog->interval_end_ns = now_ns + interval_ns;
    backlog->age_ns_min = UINT64_MAX;
    backlog->away_ns_max = 0;
}

static uint64_t backlog_age_limit(const struct backlog *backlog)
{
    uint64_t away_ns = BACKLOG_AWAY_SHARE(backlog->away_ns_max);
    uint64_t limit_ns = backlog->age_ns_max * BACKLOG_AGE_TIMES_MAX;
    if (away_ns < backlog->age_ns_max)
        return backlog->age_ns_max;
    return away_ns < limit_ns ? away_ns : limit_ns;
}

/* What lies in the buffer already must come out before a change shows. */
static void backlog_shrink(struct backlog *backlog, uint64_t now_ns, uint64_t limit_ns)
{
    uint64_t bytes = (uint64_t)((double)backlog->bytes * (double)limit_ns / (double)backlog->age_ns_min);
    backlog->bytes = bytes > backlog->bytes_min ? (uint32_t)bytes : backlog->bytes_min;
    backlog_interval_begin(backlog, now_ns, BACKLOG_INTERVAL_NS + backlog->age_ns_min);
}

/* In small steps: twice as much would go past what is right, to be cut to a fraction of it, and so on. All the room is back in a second. */
static void backlog_grow(struct backlog *backlog, uint64_t now_ns)
{
    backlog->bytes = backlog->bytes <= backlog->bytes_max / 5 * 4 ? backlog->bytes / 4 * 5 : backlog->bytes_max;
    backlog_interval_begin(backlog, now_ns, BACKLOG_INTERVAL_NS);
}

static bool backlog_judge(struct backlog *backlog, uint64_t now_ns)
{
    uint32_t bytes = backlog->bytes;
    uint64_t limit_ns = backlog_age_limit(backlog);
    if (backlog->age_ns_min > limit_ns) {
        backlog_shrink(backlog, now_ns, limit_ns);
    } else if (backlog->age_ns_min < limit_ns / 2 && bytes < backlog->bytes_max) {
        backlog_grow(backlog, now_ns);
    } else if (bytes == backlog->bytes_max) {
        backlog->stamping = false;
        backlog->looked_ns = now_ns;
        return true;
    } else {
        backlog_interval_begin(backlog, now_ns, BACKLOG_INTERVAL_NS);
    }
    return backlog->bytes != bytes;
}

/* A batch of the interval that is judged: the first part of it still shows what was before. */
static void backlog_note(struct backlog *backlog, uint64_t now_ns, uint64_t age_ns_min)
{
    if (now_ns + BACKLOG_INTERVAL_NS < backlog->interval_end_ns)
        return;
    if (age_ns_min < backlog->age_ns_min)
        backlog->age_ns_min = age_ns_min;
    if (backlog->count >= BACKLOG_STANDS_COUNT && now_ns - backlog->batch_ns > backlog->away_ns_max)
        backlog->away_ns_max = now_ns - backlog->batch_ns;
}

static bool backlog_look(struct backlog *backlog, uint64_t now_ns, uint32_t count, uint64_t age_ns_min)
{
    if (count < BACKLOG_STANDS_COUNT)
        backlog->emptied_ns = now_ns;
    if (!backlog->stamping) {
        if (LIKELY(now_ns - backlog->emptied_ns < BACKLOG_STANDS_NS || now_ns - backlog->looked_ns < BACKLOG_LOOK_NS))
            return false;
        backlog->stamping = true;
        backlog_interval_begin(backlog, now_ns, BACKLOG_SETTLE_NS + BACKLOG_INTERVAL_NS);
        return true;
    }
    backlog_note(backlog, now_ns, age_ns_min);
    return now_ns >= backlog->interval_end_ns && backlog_judge(backlog, now_ns);
}

bool backlog_on_batch(struct backlog *backlog, uint64_t now_ns, uint32_t count, uint64_t age_ns_min)
{
    if (backlog->age_ns_max == 0)
        return false;
    bool changed = backlog_look(backlog, now_ns, count, age_ns_min);
    backlog->batch_ns = now_ns;
    backlog->count = count;
    return changed;
}
