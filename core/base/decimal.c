#include "core/base/decimal.h"

#include <stdio.h>
#include <string.h>

#define MILLIONTH_DIGITS 6u

/* In between %g writes no exponent. */
#define SIX_MIN 1e-4
#define SIX_LEAST 1e5
#define SIX_END 999999.5

size_t decimal_format(uint64_t number, char text[static DECIMAL_TEXT_BYTES])
{
    char digits[DECIMAL_TEXT_BYTES];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    size_t length = sizeof(digits) - at;
    memcpy(text, digits + at, length);
    text[length] = '\0';
    return length;
}

/* A number of units, 10^digits of which are one. */
static size_t fraction_format(uint64_t units, uint32_t digits, char text[static DECIMAL_TEXT_BYTES])
{
    uint64_t one = 1;
    for (uint32_t i = 0; i < digits; i++)
        one *= 10;
    size_t length = decimal_format(units / one, text);
    uint64_t fraction = units % one;
    if (fraction == 0)
        return length;
    while (fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    text[length] = '.';
    for (size_t i = digits; i > 0; i--) {
        text[length + i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    length += digits + 1;
    text[length] = '\0';
    return length;
}

size_t decimal_format_millionths(uint64_t millionths, char text[static DECIMAL_TEXT_BYTES])
{
    return fraction_format(millionths, MILLIONTH_DIGITS, text);
}

size_t decimal_format_six(double value, char text[static DECIMAL_TEXT_BYTES])
{
    uint32_t digits = 0;
    if (value == 0)
        return decimal_format(0, text);
    if (!(value >= SIX_MIN && value < SIX_END))
        return (size_t)snprintf(text, DECIMAL_TEXT_BYTES, "%.6g", value);
    for (; value < SIX_LEAST; digits++)
        value *= 10;
    return fraction_format((uint64_t)(value + 0.5), digits, text);
}
