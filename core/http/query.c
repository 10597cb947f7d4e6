#include "core/http/query.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    int lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int decode(const char *text, size_t length, bool plus_is_space, char *ret_text, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int byte = text[i] == '+' && plus_is_space ? ' ' : text[i];
        if (text[i] == '%') {
            int high = i + 1 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
                return -EINVAL;
            byte = high * 16 + low;
            i += 2;
        }
        if (used + 1 >= capacity)
            return -ENOSPC;
        ret_text[used++] = (char)byte;
    }
    ret_text[used] = '\0';
    return 0;
}

int http_query_decode(const char *text, size_t length, char *ret_text, size_t capacity)
{
    return decode(text, length, false, ret_text, capacity);
}

int http_query_get(const char *query, const char *name, char ret_value[static HTTP_QUERY_VALUE_BYTES_MAX + 1])
{
    size_t name_length = strlen(name);
    for (const char *at = query; *at != '\0';) {
        size_t length = strcspn(at, "&");
        if (length > name_length && memcmp(at, name, name_length) == 0 && at[name_length] == '=')
            return decode(at + name_length + 1, length - name_length - 1, true, ret_value, HTTP_QUERY_VALUE_BYTES_MAX + 1);
        at += length + (at[length] == '&');
    }
    return -ENOENT;
}
