/* duration - times as people write them: 250us, 250ms, 1s, 5m, 2h; and ranges of them: 1s..5s.
 * Thread: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

#define DURATION_TEXT_BYTES 32

struct duration_range {
    uint64_t min_ns;
    uint64_t max_ns; /* ≥ min_ns */
};

/* Decimals are allowed ("1.5s"); a unit is required, except for "0". At most 10,000 h. -EINVAL. */
NODISCARD int duration_parse(const char *text, uint64_t *ret_duration_ns);

/* "1s..5s", or one duration for both ends. -EINVAL, also when the first is the longer. */
NODISCARD int duration_range_parse(const char *text, struct duration_range *ret_range);

/* The shortest exact form of those above; returns text. */
const char *duration_format(uint64_t duration_ns, char text[static DURATION_TEXT_BYTES]);
