/* memory - zeroed memory for structs with members on cache lines of their own, which calloc does not align.
 * Thread: any. Memory: the caller's, to be freed with free. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "core/base/macros.h"

/* NULL: out of memory. */
NODISCARD static inline void *memory_new_aligned(size_t bytes)
{
    size_t whole_lines = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    void *memory = aligned_alloc(CACHE_LINE_BYTES, whole_lines);
    if (memory != NULL)
        memset(memory, 0, whole_lines);
    return memory;
}
