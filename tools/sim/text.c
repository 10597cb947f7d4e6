#include "tools/sim/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t text_split(const char *text, char fields[][TEXT_FIELD_BYTES], uint32_t max)
{
    uint32_t count = 0;
    for (;;) {
        size_t length = strcspn(text, ":");
        if (count == max || length >= TEXT_FIELD_BYTES)
            return 0;
        memcpy(fields[count], text, length);
        fields[count++][length] = '\0';
        if (text[length] == '\0')
            return count;
        text += length + 1;
    }
}

int text_number(const char *text, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number))
        return -EINVAL;
    *ret_number = number;
    return 0;
}
