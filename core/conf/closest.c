/* The name somebody meant: by the least number of inserted, dropped, changed and exchanged letters. */
#include <string.h>

#include "core/conf/conf.h"

#define CLOSEST_BYTES_MAX 48

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau's distance, restricted form (optimal string alignment); both texts ≤ CLOSEST_BYTES_MAX. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t row[3][CLOSEST_BYTES_MAX + 1] = {{0}};
    for (size_t j = 0; j <= b_length; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *now = row[i % 3], *before = row[(i - 1) % 3], *second = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = smaller(smaller(before[j] + 1, now[j - 1] + 1), before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], second[j - 2] + 1);
        }
    }
    return row[a_length % 3][b_length];
}

const char *conf_closest(const char *typed, const char *const *names, size_t name_count)
{
    const char *closest = NULL;
    size_t length = strlen(typed);
    size_t least = length / 6 + 1; /* further away is a guess, and so is anything for one or two letters */
    if (length < 3 || length > CLOSEST_BYTES_MAX)
        return NULL;
    for (size_t i = 0; i < name_count; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length > CLOSEST_BYTES_MAX)
            continue;
        size_t edits = strncmp(typed, names[i], length) == 0 ? 1 : distance(typed, length, names[i], name_length);
        if (edits <= least && (!closest || edits < least)) {
            least = edits;
            closest = names[i];
        }
    }
    return closest;
}
