#include "bench/load/tally.h"

#include <string.h>

#include "core/base/macros.h"

void tally_init(struct tally *tally, uint64_t measure_from_ns, uint64_t timeout_ns)
{
    memset(tally, 0, sizeof(*tally));
    tally->measure_from_ns = measure_from_ns;
    tally->timeout_ns = timeout_ns;
    tally->late_from_ns = TALLY_LATE_NS;
}

static uint64_t tally_elapsed_ns(uint64_t from_ns, uint64_t now_ns)
{
    return now_ns > from_ns ? now_ns - from_ns : 0;
}

void tally_sent(struct tally *tally, uint64_t planned_ns, uint64_t now_ns, uint64_t count)
{
    if (!tally_measures(tally, planned_ns))
        return;
    uint64_t late_ns = tally_elapsed_ns(planned_ns, now_ns);
    tally->sent += count;
    if (late_ns >= tally->late_from_ns)
        tally->late += count;
    if (late_ns > tally->late_max_ns)
        tally->late_max_ns = late_ns;
}

/* False: a kind for which there is no room. */
static bool kinds_add(struct tally_error *kinds, uint32_t *kind_count, uint32_t room, const char *name, uint64_t count)
{
    uint32_t i = 0;
    while (i < *kind_count && strcmp(kinds[i].name, name) != 0)
        i++;
    if (i >= room)
        return false;
    if (i == *kind_count)
        kinds[(*kind_count)++] = (struct tally_error){.name = name};
    kinds[i].count += count;
    return true;
}

static void tally_errors(struct tally *tally, const char *error_name, uint64_t count)
{
    tally->errors += count; /* also where there is no room for its kind */
    (void)kinds_add(tally->error, &tally->error_kinds, TALLY_ERRORS_MAX, error_name, count);
}

static void tally_loss(struct tally *tally, const char *cause, uint64_t count)
{
    if (!kinds_add(tally->loss, &tally->loss_kinds, TALLY_ERRORS_MAX - 1, cause, count))
        (void)kinds_add(tally->loss, &tally->loss_kinds, TALLY_ERRORS_MAX, TALLY_OTHER, count);
}

void tally_answered(struct tally *tally, uint64_t planned_ns, uint64_t now_ns, uint64_t count)
{
    uint64_t elapsed_ns = tally_elapsed_ns(planned_ns, now_ns);
    if (!tally_measures(tally, planned_ns))
        return;
    /* Whoever looks for what has waited too long looks now and then; the answer may be there before it is found. */
    if (UNLIKELY(elapsed_ns > tally->timeout_ns)) {
        tally->lost += count;
        tally->unexpected += count;
        tally_loss(tally, TALLY_TIMEOUT, count);
        histogram_add_many(&tally->latency_ns, tally->timeout_ns, count);
        return;
    }
    tally->received += count;
    tally->answered += count;
    tally->answered_last_ns = now_ns;
    histogram_add_many(&tally->latency_ns, elapsed_ns, count);
}

void tally_error(struct tally *tally, const char *error_name)
{
    tally_errors(tally, error_name, 1);
}

void tally_refused(struct tally *tally, uint64_t planned_ns, const char *error_name)
{
    if (!tally_measures(tally, planned_ns))
        return;
    tally->received++;
    tally_error(tally, error_name);
    tally_loss(tally, error_name, 1);
}

void tally_broken(struct tally *tally, uint64_t planned_ns, const char *error_name)
{
    tally_lost(tally, planned_ns, error_name);
    if (tally_measures(tally, planned_ns))
        tally_error(tally, error_name);
}

void tally_lost(struct tally *tally, uint64_t planned_ns, const char *cause)
{
    if (!tally_measures(tally, planned_ns))
        return;
    tally->lost++;
    tally_loss(tally, cause, 1);
    histogram_add(&tally->latency_ns, tally->timeout_ns);
}

uint64_t tally_losses(const struct tally *tally)
{
    return tally->received - tally->answered + tally->lost;
}

uint64_t tally_losses_to(const struct tally *tally, const char *cause)
{
    for (uint32_t i = 0; i < tally->loss_kinds; i++)
        if (strcmp(tally->loss[i].name, cause) == 0)
            return tally->loss[i].count;
    return 0;
}

const char *tally_loss_chief(const struct tally *tally)
{
    uint32_t chief = 0;
    for (uint32_t i = 1; i < tally->loss_kinds; i++)
        if (tally->loss[i].count > tally->loss[chief].count)
            chief = i;
    return tally->loss_kinds > 0 ? tally->loss[chief].name : NULL;
}

void tally_merge(struct tally *tally, const struct tally *other)
{
    tally->sent += other->sent;
    tally->received += other->received;
    tally->answered += other->answered;
    tally->lost += other->lost;
    tally->late += other->late;
    tally->unexpected += other->unexpected;
    if (other->late_max_ns > tally->late_max_ns)
        tally->late_max_ns = other->late_max_ns;
    for (uint32_t i = 0; i < other->error_kinds; i++)
        tally_errors(tally, other->error[i].name, other->error[i].count);
    for (uint32_t i = 0; i < other->loss_kinds; i++)
        tally_loss(tally, other->loss[i].name, other->loss[i].count);
    if (other->answered_last_ns > tally->answered_last_ns)
        tally->answered_last_ns = other->answered_last_ns;
    histogram_merge(&tally->latency_ns, &other->latency_ns);
}
