#include "core/base/id_text.h"

#include <errno.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

struct id_text id_text_of(uint64_t id)
{
    struct id_text text = {.text = ""};
    for (uint32_t i = 0; i < ID_TEXT_BYTES - 1; i++)
        text.text[i] = digits[id >> (60 - 4 * i) & 15];
    return text;
}

int id_text_parse(const char *text, uint64_t *ret_id)
{
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
