#include "core/daemon/text_json.h"

#include <string.h>

json_t *text_to_json(const char *text)
{
    char plain[TEXT_JSON_BYTES_MAX];
    json_t *string = json_string(text);
    if (string)
        return string;
    size_t length = strnlen(text, sizeof(plain));
    for (size_t i = 0; i < length; i++)
        plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    return json_stringn(plain, length);
}
