#include "core/base/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

struct duration_unit {
    const char *name;
    uint64_t ns;
};

/* Longest first, for duration_format. */
static const struct duration_unit duration_units[] = {
    {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS}, {"us", NS_PER_US}, {"ns", 1},
};

#define DURATION_MAX_NS (10000.0 * 3600.0 * 1e9)

int duration_parse(const char *text, uint64_t *ret_duration_ns)
{
    char *unit;
    if (strcmp(text, "0") == 0) {
        *ret_duration_ns = 0;
        return 0;
    }
    if (*text < '0' || *text > '9')
        return -EINVAL; /* strtod would take signs, spaces, "inf" and "nan" */
    double value = strtod(text, &unit);
    for (size_t i = 0; i < ARRAY_COUNT(duration_units); i++) {
        if (strcmp(unit, duration_units[i].name) != 0)
            continue;
        double duration_ns = value * (double)duration_units[i].ns;
        if (!(duration_ns <= DURATION_MAX_NS))
            return -EINVAL;
        *ret_duration_ns = (uint64_t)(duration_ns + 0.5);
        return 0;
    }
    return -EINVAL;
}

int duration_range_parse(const char *text, struct duration_range *ret_range)
{
    char first[DURATION_TEXT_BYTES];
    struct duration_range range;
    const char *dots = strstr(text, "..");
    if (!dots) {
        if (duration_parse(text, &range.min_ns) < 0)
            return -EINVAL;
        range.max_ns = range.min_ns;
        *ret_range = range;
        return 0;
    }
    size_t length = (size_t)(dots - text);
    if (length >= sizeof(first))
        return -EINVAL;
    memcpy(first, text, length);
    first[length] = '\0';
    if (duration_parse(first, &range.min_ns) < 0 || duration_parse(dots + 2, &range.max_ns) < 0 || range.min_ns > range.max_ns)
        return -EINVAL;
    *ret_range = range;
    return 0;
}

const char *duration_format(uint64_t duration_ns, char text[static DURATION_TEXT_BYTES])
{
    for (size_t i = 0; i < ARRAY_COUNT(duration_units); i++) {
        if (duration_ns != 0 && duration_ns % duration_units[i].ns == 0) {
            snprintf(text, DURATION_TEXT_BYTES, "%" PRIu64 "%s", duration_ns / duration_units[i].ns, duration_units[i].name);
            return text;
        }
    }
    snprintf(text, DURATION_TEXT_BYTES, "0");
    return text;
}
