/* IDs as 16 hexadecimal digits. */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/base/id_text.h"

Test(id_text, refuses_what_is_not_sixteen_digits)
{
    static const char *const wrong[] = {"",
                                        "0",
                                        "00000000000000000",
                                        "000000000000000",
                                        "0x00000000000000",
                                        "000000000000000g",
                                        "000000000000000A",
                                        "0000 00000000000",
                                        "-000000000000001"};
    uint64_t id = 7;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        cr_expect_eq(id_text_parse(wrong[i], &id), -EINVAL, "%s", wrong[i]);
    cr_expect_eq(id_text_parse(NULL, &id), -EINVAL);
    cr_expect_eq(id, 7, "untouched on failure");
}

Test(id_text, survives_a_round_trip)
{
    static const uint64_t ids[] = {0, 1, UINT64_C(0x0123456789abcdef), UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        uint64_t again = 7;
        cr_assert_eq(id_text_parse(id_text_of(ids[i]).text, &again), 0);
        cr_expect_eq(again, ids[i]);
    }
    cr_expect_str_eq(id_text_of(UINT64_C(0x91c2)).text, "00000000000091c2");
}
