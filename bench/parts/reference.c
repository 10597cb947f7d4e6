#include "bench/parts/reference.h"

#include <errno.h>

#include "core/base/clock.h"

#define WORDS (REFERENCE_INSTRUCTIONS / 2) /* every second instruction loads one */

#ifdef __x86_64__

static const uint64_t words[WORDS] = {1, 2, 3};

bool reference_exists(void)
{
    return true;
}

int reference_chain(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    uint64_t a = 1;
    (void)ctx;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        __asm__ volatile(".set reference_at, 0\n\t"
                         ".rept 64\n\t"
                         "addq reference_at(%[words]), %[a]\n\t"
                         "xorq $0x55, %[a]\n\t"
                         ".set reference_at, reference_at + 8\n\t"
                         ".endr"
                         : [a] "+r"(a)
                         : [words] "r"(words), "m"(words)
                         : "cc");
    *ret_ns = clock_monotonic_ns() - begin_ns;
    micro_keep(a);
    return 0;
}

int reference_wide(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;
    (void)ctx;
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        __asm__ volatile(".set reference_at, 0\n\t"
                         ".rept 16\n\t"
                         "addq reference_at(%[words]), %[a]\n\t"
                         "addq reference_at + 8(%[words]), %[b]\n\t"
                         "addq reference_at + 16(%[words]), %[c]\n\t"
                         "addq reference_at + 24(%[words]), %[d]\n\t"
                         "xorq $0x55, %[a]\n\t"
                         "xorq $0x55, %[b]\n\t"
                         "xorq $0x55, %[c]\n\t"
                         "xorq $0x55, %[d]\n\t"
                         ".set reference_at, reference_at + 32\n\t"
                         ".endr"
                         : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d)
                         : [words] "r"(words), "m"(words)
                         : "cc");
    *ret_ns = clock_monotonic_ns() - begin_ns;
    micro_keep(a ^ b ^ c ^ d);
    return 0;
}

#else

bool reference_exists(void)
{
    return false;
}

int reference_chain(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    (void)ctx;
    (void)operations;
    (void)ret_ns;
    return -ENOTSUP;
}

int reference_wide(void *ctx, uint64_t operations, uint64_t *ret_ns)
{
    return reference_chain(ctx, operations, ret_ns);
}

#endif
