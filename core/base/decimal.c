#include "core/base/decimal.h"

#include <string.h>

#define MILLION UINT64_C(1000000)
#define FRACTION_DIGITS 6

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

size_t decimal_format_millionths(uint64_t millionths, char text[static DECIMAL_TEXT_BYTES])
{
    size_t length = decimal_format(millionths / MILLION, text);
    uint64_t fraction = millionths % MILLION;
    size_t digits = FRACTION_DIGITS;
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
