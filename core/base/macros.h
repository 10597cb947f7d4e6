/* macros - the few compiler attributes the code uses, under one name each. No hidden control flow. */
#pragma once

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* x86-64 and most arm64 cores; the adjacent-line prefetcher would argue for 128: not measured yet. */
#define CACHE_LINE_BYTES 64
#define ALIGN_CACHE_LINE __attribute__((aligned(CACHE_LINE_BYTES)))

/* The structure that holds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
