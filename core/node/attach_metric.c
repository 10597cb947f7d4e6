#include "core/node/attach_metric.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 63u

static size_t skip_blanks(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length && (text[at] == ' ' || text[at] == '\t'))
        at++;
    return at;
}

/* What may stand between a name and its number. */
static bool is_separator(char byte)
{
    return byte == ' ' || byte == '\t' || byte == ':' || byte == '=';
}

/* Behind the closing brace; `length` when there is none. Braces and quotes in quoted values don't count. */
static size_t skip_labels(const char *text, size_t length)
{
    bool quoted = false;
    for (size_t at = 1; at < length; at++) {
        if (quoted && text[at] == '\\')
            at++;
        else if (text[at] == '"')
            quoted = !quoted;
        else if (!quoted && text[at] == '}')
            return at + 1;
    }
    return length;
}

static int number_parse(const char *text, size_t length, double *ret_value)
{
    char number[NUMBER_BYTES_MAX + 1];
    size_t digits = 0;
    while (digits < length && digits < NUMBER_BYTES_MAX && text[digits] > ' ')
        digits++;
    memcpy(number, text, digits);
    number[digits] = '\0';
    char *end;
    double value = strtod(number, &end);
    if (end == number || *end != '\0')
        return -ERANGE;
    *ret_value = value;
    return 0;
}

/* -ENOENT: this line is another one's. */
static int line_take(const char *line, size_t length, const char *name, double *ret_value)
{
    size_t name_length = strlen(name);
    size_t at = skip_blanks(line, length);
    if (length - at <= name_length || memcmp(line + at, name, name_length) != 0)
        return -ENOENT;
    at += name_length;
    if (line[at] == '{')
        at += skip_labels(line + at, length - at);
    else if (!is_separator(line[at]))
        return -ENOENT;
    while (at < length && is_separator(line[at]))
        at++;
    return number_parse(line + at, length - at, ret_value);
}

int attach_metric_find(const char *page, size_t length, const char *name, double *ret_value)
{
    double sum = 0;
    bool found = false;
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(page + at, '\n', length - at);
        size_t line_length = newline != NULL ? (size_t)(newline - page) - at : length - at;
        double value;
        int r = line_take(page + at, line_length, name, &value);
        if (r == -ERANGE)
            return r;
        if (r == 0) {
            sum += value;
            found = true;
        }
        at += line_length + 1;
    }
    if (!found)
        return -ENOENT;
    if (!(sum >= 0 && sum <= ATTACH_METRIC_MAX))
        return -ERANGE;
    *ret_value = sum;
    return 0;
}
