/* random - a small fast generator (xoshiro256**, Blackman and Vigna 2018) for placement and jitter. Not for secrets.
 * Thread: one owner per state; every thread has its own. */
#pragma once

#include <stdint.h>

struct random_state {
    uint64_t word[4];
};

/* Same seed, same sequence, on every machine. */
void random_init(struct random_state *state, uint64_t seed);

/* Seeds from the kernel (getrandom; blocks only before the machine's entropy is up). */
void random_init_from_kernel(struct random_state *state);

static inline uint64_t random_rotate(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/* 64 uniform bits. */
static inline uint64_t random_next(struct random_state *state)
{
    uint64_t *w = state->word;
    uint64_t result = random_rotate(w[1] * 5, 7) * 9;
    uint64_t shifted = w[1] << 17;
    w[2] ^= w[0];
    w[3] ^= w[1];
    w[1] ^= w[2];
    w[0] ^= w[3];
    w[2] ^= shifted;
    w[3] = random_rotate(w[3], 45);
    return result;
}

/* 32 uniform bits made uniform in 0 … limit-1, without a division in the usual case (Lemire 2019). */
static inline uint32_t random_reduce(struct random_state *state, uint32_t bits, uint32_t limit)
{
    uint64_t product = (uint64_t)bits * limit;
    if (__builtin_expect((uint32_t)product < limit, 0)) {
        uint32_t threshold = (uint32_t)(-limit) % limit;
        while ((uint32_t)product < threshold)
            product = (random_next(state) >> 32) * limit;
    }
    return (uint32_t)(product >> 32);
}

/* Uniform in 0 … limit-1, limit ≥ 1. */
static inline uint32_t random_below(struct random_state *state, uint32_t limit)
{
    return random_reduce(state, (uint32_t)(random_next(state) >> 32), limit);
}

/* Two, independent of each other, for the price of one. */
static inline void random_below_two(struct random_state *state, uint32_t first_limit, uint32_t second_limit, uint32_t *ret_first,
                                    uint32_t *ret_second)
{
    uint64_t bits = random_next(state);
    *ret_first = random_reduce(state, (uint32_t)(bits >> 32), first_limit);
    *ret_second = random_reduce(state, (uint32_t)bits, second_limit);
}

/* Uniform in [0, 1). */
static inline double random_unit(struct random_state *state)
{
    return (double)(random_next(state) >> 11) * 0x1.0p-53;
}
