#include "core/base/random.h"

#include <sys/random.h>

#include "core/base/check.h"

/* SplitMix64 spreads a seed over the state: xoshiro must not start from all zeroes. */
static uint64_t random_splitmix(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void random_init(struct random_state *state, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        state->word[i] = random_splitmix(&seed);
}

void random_init_from_kernel(struct random_state *state)
{
    uint64_t seed;
    ssize_t length = getrandom(&seed, sizeof(seed), 0);
    CHECK(length == (ssize_t)sizeof(seed));
    random_init(state, seed);
}
