#include "core/node/change.h"

#include <math.h>

#include "core/base/clock.h"

const char *const change_metric_names[CHANGE_METRICS] = {
    [CHANGE_CPU] = "cpu",       [CHANGE_MEMORY] = "memory",       [CHANGE_DISK] = "disk",
    [CHANGE_QUEUE] = "queue",   [CHANGE_DISK_READ] = "disk-read", [CHANGE_DISK_WRITE] = "disk-write",
    [CHANGE_NIC_IN] = "nic-in", [CHANGE_NIC_OUT] = "nic-out",
};

void change_init(struct change *change, const struct change_config *config)
{
    *change = (struct change){.config = *config, .tokens = config->budget};
}

/* True when one of them is past its threshold. */
static bool rates_take(struct change *change, double elapsed_s, const float value[static CHANGE_METRICS])
{
    bool past = false;
    for (uint32_t i = 0; i < CHANGE_METRICS; i++) {
        double rate = fabs((double)value[i] - (double)change->value[i]) / elapsed_s;
        change->rate[i] = (float)rate;
        past = past || (change->config.threshold[i] > 0 && change->rate[i] > change->config.threshold[i]);
        change->value[i] = value[i];
    }
    return past;
}

static bool budget_take(struct change *change, double elapsed_s)
{
    double budget = change->config.budget;
    change->tokens += budget * elapsed_s;
    if (change->tokens > budget)
        change->tokens = budget;
    return change->tokens >= 1;
}

bool change_add(struct change *change, uint64_t now_ns, const float value[static CHANGE_METRICS])
{
    double elapsed_s = (double)(now_ns - change->at_ns) / (double)NS_PER_S;
    if (!change->begun) {
        change->begun = true;
        change->at_ns = now_ns;
        for (uint32_t i = 0; i < CHANGE_METRICS; i++)
            change->value[i] = value[i];
        return false;
    }
    if (!(elapsed_s > 0))
        return false;
    change->at_ns = now_ns;
    bool affordable = budget_take(change, elapsed_s);
    if (!rates_take(change, elapsed_s, value) || !affordable)
        return false;
    change->tokens -= 1;
    return true;
}
