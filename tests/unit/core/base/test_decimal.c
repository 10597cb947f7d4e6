#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

Test(decimal, six_digits_are_as_printf_writes_them)
{
    static const float values[] = {0,         1,         8,    0.1f,     37.1235f,  0.000123456f, 0.0001f,   0.00009f,
                                   999999.4f, 999999.6f, 1e6f, 123456,   1234567,   3.14159f,     99999.95f, 1e-30f,
                                   1e30f,     0.5f,      250,  9.99999f, 9.999999f, 125.25f};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[DECIMAL_TEXT_BYTES], expected[DECIMAL_TEXT_BYTES];
        int length = snprintf(expected, sizeof(expected), "%.6g", (double)values[i]);
        cr_assert_eq(decimal_format_six((double)values[i], text), (size_t)length, "%s", expected);
        cr_assert_str_eq(text, expected);
    }
}

Test(decimal, six_digits_say_a_float_of_any_size)
{
    float value = 0.00005f;
    for (uint32_t i = 0; i < 20000; i++, value *= 1.0013f) {
        char text[DECIMAL_TEXT_BYTES];
        cr_assert_leq(decimal_format_six((double)value, text), 12);
        cr_assert_float_eq(strtod(text, NULL), (double)value, (double)value * 5.00001e-6, "%s", text);
    }
}
