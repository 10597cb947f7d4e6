/* budget - how many retries a client may add to what it asks anyway, so that trouble does not multiply load (reliability: retries
 * ≤ 10 % of calls).
 *
 * What is not counted: an attempt on a healthy dispatcher that was not tried yet (it takes the place of one that the dead
 * dispatcher never worked on), and the first repeat of a call. Everything beyond costs a whole retry; each call earns a tenth.
 * Thread: one. Memory: none. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BUDGET_CALLS_PER_RETRY 10u
#define BUDGET_RETRIES_MIN 10u /* to begin with */
#define BUDGET_RETRIES_MAX 100u /* saved up at most */

struct budget {
    uint32_t calls; /* that were not spent on retries yet */
    uint64_t refused; /* retries that were not allowed */
};

static inline void budget_init(struct budget *budget)
{
    *budget = (struct budget){.calls = BUDGET_RETRIES_MIN * BUDGET_CALLS_PER_RETRY};
}

static inline void budget_earn(struct budget *budget)
{
    if (budget->calls < BUDGET_RETRIES_MAX * BUDGET_CALLS_PER_RETRY)
        budget->calls++;
}

static inline bool budget_spend(struct budget *budget)
{
    if (budget->calls < BUDGET_CALLS_PER_RETRY) {
        budget->refused++;
        return false;
    }
    budget->calls -= BUDGET_CALLS_PER_RETRY;
    return true;
}
