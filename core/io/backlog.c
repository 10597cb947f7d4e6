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
}

/* What lies in the buffer already must come out before a change shows. */
static void backlog_shrink(struct backlog *backlog, uint64_t now_ns)
{
    uint64_t bytes = (uint64_t)((double)backlog->bytes * (double)backlog->age_ns_max / (double)backlog->age_ns_min);
    backlog->bytes = bytes > backlog->bytes_min ? (uint32_t)bytes : backlog->bytes_min;
    backlog_interval_begin(backlog, now_ns, BACKLOG_INTERVAL_NS + backlog->age_ns_min);
}

static void backlog_grow(struct backlog *backlog, uint64_t now_ns)
{
    backlog->bytes = backlog->bytes <= backlog->bytes_max / 2 ? backlog->bytes * 2 : backlog->bytes_max;
    backlog_interval_begin(backlog, now_ns, BACKLOG_INTERVAL_NS);
}

static bool backlog_judge(struct backlog *backlog, uint64_t now_ns)
{
    uint32_t bytes = backlog->bytes;
    if (backlog->age_ns_min > backlog->age_ns_max) {
        backlog_shrink(backlog, now_ns);
    } else if (backlog->age_ns_min < backlog->age_ns_max / 2 && bytes < backlog->bytes_max) {
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

bool backlog_on_batch(struct backlog *backlog, uint64_t now_ns, uint32_t count, uint64_t age_ns_min)
{
    if (backlog->age_ns_max == 0)
        return false;
    if (count < BACKLOG_STANDS_COUNT)
        backlog->emptied_ns = now_ns;
    if (!backlog->stamping) {
        if (LIKELY(now_ns - backlog->emptied_ns < BACKLOG_STANDS_NS || now_ns - backlog->looked_ns < BACKLOG_LOOK_NS))
            return false;
        backlog->stamping = true;
        backlog_interval_begin(backlog, now_ns, BACKLOG_SETTLE_NS + BACKLOG_INTERVAL_NS);
        return true;
    }
    /* The first part of an interval still shows what was before. */
    if (now_ns + BACKLOG_INTERVAL_NS >= backlog->interval_end_ns && age_ns_min < backlog->age_ns_min)
        backlog->age_ns_min = age_ns_min;
    return now_ns >= backlog->interval_end_ns && backlog_judge(backlog, now_ns);
}
