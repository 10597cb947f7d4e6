#include "client/command/plan_rates.h"

#include "core/base/clock.h"

struct plan_rates plan_rates_of(uint64_t clients, struct duration_range every, uint32_t dispatchers, double per_core)
{
    double clients_each = (double)clients / dispatchers;
    double shortest_s = (double)every.min_ns / (double)NS_PER_S, longest_s = (double)every.max_ns / (double)NS_PER_S;
    struct plan_rates rates = {.rate_min = clients_each / longest_s, .rate_max = clients_each / shortest_s};
    if (per_core > 0) {
        rates.core_min = rates.rate_min / per_core;
        rates.core_max = rates.rate_max / per_core;
        rates.clients_per_core = per_core * shortest_s;
    }
    return rates;
}
