#include "core/base/id_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct id_text id_text_of(uint64_t id)
{
    struct id_text text;
    snprintf(text.text, sizeof(text.text), "%016" PRIx64, id);
    return text;
}

int id_text_parse(const char *text, uint64_t *ret_id)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t id = 0;
    if (!text || strlen(text) != ID_TEXT_BYTES - 1)
        return -EINVAL;
    for (; *text != '\0'; text++) {
        const char *digit = strchr(digits, *text);
        if (!digit)
            return -EINVAL;
        id = id << 4 | (uint64_t)(digit - digits);
    }
    *ret_id = id;
    return 0;
}
