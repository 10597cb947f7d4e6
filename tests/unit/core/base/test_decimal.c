#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/decimal.h"

Test(decimal, numbers_are_as_printf_writes_them)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 1234567890, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char text[DECIMAL_TEXT_BYTES], expected[DECIMAL_TEXT_BYTES];
        int length = snprintf(expected, sizeof(expected), "%" PRIu64, numbers[i]);
        cr_assert_eq(decimal_format(numbers[i], text), (size_t)length);
        cr_assert_str_eq(text, expected);
    }
}

Test(decimal, millionths_have_the_digits_they_need)
{
    static const struct {
        uint64_t millionths;
        const char *text;
    } rows[] = {
        {0, "0"},
        {1, "0.000001"},
        {250000, "0.25"},
        {1000000, "1"},
        {12000000, "12"},
        {1100000, "1.1"},
        {1000010, "1.00001"},
        {999999, "0.999999"},
        {UINT64_MAX, "18446744073709.551615"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[DECIMAL_TEXT_BYTES];
        size_t length = decimal_format_millionths(rows[i].millionths, text);
        cr_assert_str_eq(text, rows[i].text);
        cr_assert_eq(length, strlen(rows[i].text));
    }
}
