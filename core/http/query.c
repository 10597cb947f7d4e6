#include "core/http/query.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
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

static size_t name_length(const char *parameter)
{
    return strcspn(parameter, "=&");
}

static bool is_named(const char *parameter, const char *name)
{
    return name_length(parameter) == strlen(name) && memcmp(parameter, name, strlen(name)) == 0;
}

static const char *next_parameter(const char *parameter)
{
    parameter += strcspn(parameter, "&");
    return parameter + (*parameter == '&');
}

int http_query_get(const char *query, const char *name, char ret_value[static HTTP_QUERY_VALUE_BYTES_MAX + 1])
{
    for (const char *at = query; *at != '\0'; at = next_parameter(at)) {
        if (!is_named(at, name))
            continue;
        const char *value = at + strlen(name);
        value += *value == '=';
        return decode(value, strcspn(value, "&"), true, ret_value, HTTP_QUERY_VALUE_BYTES_MAX + 1);
    }
    return -ENOENT;
}

static int refuse(const char *parameter, int error, char ret_name[static HTTP_QUERY_NAME_BYTES_MAX + 1])
{
    size_t length = name_length(parameter);
    if (length > HTTP_QUERY_NAME_BYTES_MAX)
        length = HTTP_QUERY_NAME_BYTES_MAX;
    memcpy(ret_name, parameter, length);
    ret_name[length] = '\0';
    return error;
}

int http_query_check(const char *query, const char *const names[], char ret_name[static HTTP_QUERY_NAME_BYTES_MAX + 1])
{
    uint64_t seen = 0;
    for (const char *at = query; *at != '\0'; at = next_parameter(at)) {
        uint32_t i = 0;
        if (*at == '&')
            continue;
        while (names[i] != NULL && !is_named(at, names[i]))
            i++;
        if (names[i] == NULL)
            return refuse(at, -ENOENT, ret_name);
        if (seen >> i & 1)
            return refuse(at, -EEXIST, ret_name);
        seen |= UINT64_C(1) << i;
    }
    return 0;
}
