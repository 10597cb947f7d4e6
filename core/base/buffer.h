/* buffer - a growing byte string: what waits to be sent, or text being built.
 *
 * Invariant: bytes[0 … length-1] are valid, length ≤ capacity. A buffer of all zeroes is empty and valid.
 * Thread: one owner. Memory: grows by doubling; buffer_done frees. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

struct buffer {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
};

void buffer_done(struct buffer *buffer);

/* Makes room for `extra` more bytes behind `length`. -ENOMEM. */
NODISCARD int buffer_reserve(struct buffer *buffer, size_t extra);

/* -ENOMEM leaves the content as it was. */
NODISCARD int buffer_append(struct buffer *buffer, const void *bytes, size_t length);
NODISCARD int buffer_print(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* Drops the first `length` bytes; the rest moves down. */
void buffer_consume(struct buffer *buffer, size_t length);
