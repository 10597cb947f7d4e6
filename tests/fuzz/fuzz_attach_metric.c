/* Any bytes as the page of a server: a number that is one, or a reason why not, whatever other lines stand around. The input: the length of
 * the name (1 to 127), the name, the page. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/node/attach_config.h"
#include "core/node/attach_metric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

static int find(const char *page, size_t length, const char *name, double *ret_value)
{
    double untouched = *ret_value;
    int r = attach_metric_find(page, length, name, ret_value);
    if (r == 0)
        CHECK(isfinite(*ret_value) && *ret_value >= 0 && *ret_value <= ATTACH_METRIC_MAX);
    else
        CHECK((r == -ENOENT || r == -ERANGE) && *ret_value == untouched);
    return r;
}

static void find_among_others(const char *page, size_t length, const char *name)
{
    static const char before[] = "# a comment\n\n", behind[] = "\n# another\n";
    double value = -1, value_among = -1;
    int r = find(page, length, name, &value);
    size_t before_length = sizeof(before) - 1, behind_length = sizeof(behind) - 1;
    char *longer = malloc(before_length + length + behind_length);
    CHECK(longer);
    memcpy(longer, before, before_length);
    memcpy(longer + before_length, page, length);
    memcpy(longer + before_length + length, behind, behind_length);
    CHECK(find(longer, before_length + length + behind_length, name, &value_among) == r && value_among == value);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    char name[ATTACH_METRIC_BYTES_MAX + 1];
    size_t name_length = data_size > 0 ? data[0] % ATTACH_METRIC_BYTES_MAX + 1 : 0;
    if (data_size < 1 + name_length || memchr(data + 1, '\0', name_length) || data[1] == '#')
        return 0;
    memcpy(name, data + 1, name_length);
    name[name_length] = '\0';
    find_among_others((const char *)data + 1 + name_length, data_size - 1 - name_length, name);
    return 0;
}
