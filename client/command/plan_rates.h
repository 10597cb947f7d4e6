/* plan_rates - the arithmetic of `usher plan`: clients ÷ (dispatchers × interval), A [0148].
 * Thread: any. */
#pragma once

#include <stdint.h>

#include "core/base/duration.h"

struct plan_rates {
    double rate_min; /* requests per second and dispatcher: everybody asks as rarely as the range allows */
    double rate_max; /* as often */
    double core_min; /* share of one core that these take; 0 while per_core is 0 */
    double core_max;
    double clients_per_core; /* that one core serves when all ask as often as the range allows; likewise */
};

/* every.min_ns ≥ 1; dispatchers ≥ 1; per_core: requests per second that a core answers, 0: not known. */
struct plan_rates plan_rates_of(uint64_t clients, struct duration_range every, uint32_t dispatchers, double per_core);
