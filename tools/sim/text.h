/* text - the small grammars of usher-sim's options: fields between colons.
 * Thread: any. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

#define TEXT_FIELD_BYTES 64

/* Into at most `max` fields; 0 when there are more, or one is too long. */
uint32_t text_split(const char *text, char fields[][TEXT_FIELD_BYTES], uint32_t max);

/* A finite decimal number and nothing behind it. -EINVAL. */
NODISCARD int text_number(const char *text, double *ret_number);
