#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/redis/redis_command.h"
#include "core/redis/redis_keys.h"
#include "core/redis/redis_target.h"

Test(redis_target, nonsense_is_refused)
{
    struct redis_target target;
    cr_expect_eq(redis_target_parse("", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("unix:", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("tcp:redis.example:6379", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("tcp:127.0.0.1", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("tcp:127.0.0.1:0", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("tcp:0.0.0.0:6379", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("tcp:[ff02::1]:6379", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("sentinel:main@224.0.0.1:26379", &target), -EINVAL);
    cr_expect_eq(redis_target_parse("embeddedx", &target), -EINVAL);
}

Test(redis_target, too_long_a_path_is_refused)
{
    struct redis_target target;
    char text[200] = "unix:";
    memset(text + 5, 'x', 108);
    cr_expect_eq(redis_target_parse(text, &target), -ENAMETOOLONG);
}

Test(redis_target, half_said_sentinels_are_refused)
{
    static const char *const texts[] = {
        "sentinel:",
        "sentinel:main",
        "sentinel:main@",
        "sentinel:@127.0.0.1:26379",
        "sentinel:a b@127.0.0.1:26379",
        "sentinel:main@127.0.0.1",
        "sentinel:main@127.0.0.1:26379,",
        "sentinel:main@127.0.0.1:26379,redis.example:26379",
        "sentinel:main@h:1,h:1",
        "sentinel:main@[::1]:1,[::1]:2,[::1]:3,[::1]:4,[::1]:5,[::1]:6,[::1]:7,[::1]:8,[::1]:9",
        "sentinel:0123456789012345678901234567890123456789012345678901234567890123@127.0.0.1:26379",
        "sentinel:main@127.0.0.1:26379000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct redis_target target;
        cr_expect_eq(redis_target_parse(texts[i], &target), -EINVAL, "%s", texts[i]);
    }
}

Test(redis_target, forms_come_back_as_they_were)
{
    static const char *const texts[] = {
        "embedded",       "unix:/run/redis.sock",          "tcp:127.0.0.1:6379",
        "tcp:[::1]:6379", "sentinel:main@127.0.0.1:26379", "sentinel:a.b-c_1@127.0.0.1:1,[::1]:2,10.0.0.1:3"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct redis_target target;
        char text[REDIS_TARGET_TEXT_BYTES];
        cr_assert_eq(redis_target_parse(texts[i], &target), 0);
        cr_expect_str_eq(redis_target_format(&target, text), texts[i]);
    }
}

Test(redis_target, localhost_is_loopback)
{
    struct redis_target target;
    char text[REDIS_TARGET_TEXT_BYTES];
    cr_assert_eq(redis_target_parse("tcp:localhost:6379", &target), 0);
    cr_expect_str_eq(redis_target_format(&target, text), "tcp:127.0.0.1:6379");
}

Test(redis_keys, name_begins_with_the_region)
{
    char text[REDIS_KEY_BYTES];
    cr_expect_str_eq(redis_key_format(REDIS_KEY_BEATS, 1, text), "usher:1:beats");
    cr_expect_str_eq(redis_key_format(REDIS_KEY_FAULTS, 65535, text), "usher:65535:faults");
}

Test(redis_command, words_become_resp)
{
    struct redis_command command = {.word_count = 0};
    const uint8_t *bytes;
    size_t length;
    static const char expected[] = "*5\r\n$4\r\nZADD\r\n$1\r\nk\r\n$3\r\n-12\r\n$3\r\n0.5\r\n$2\r\n\r\n\r\n";
    redis_command_begin(&command, "SET"); /* forgotten by the next */
    redis_command_begin(&command, "ZADD");
    redis_command_add(&command, "k");
    redis_command_add_number(&command, -12);
    redis_command_add_millionths(&command, 500000);
    redis_command_add_bytes(&command, "\r\n", 2);
    cr_assert_eq(redis_command_finish(&command, &bytes, &length), 0);
    cr_assert_eq(length, sizeof(expected) - 1);
    cr_expect_arr_eq(bytes, expected, length);
    redis_command_done(&command);
}

Test(redis_command, count_of_many_words_needs_no_leading_zeros)
{
    struct redis_command command = {.word_count = 0};
    const uint8_t *bytes;
    size_t length;
    redis_command_begin(&command, "ZREM");
    for (uint32_t i = 0; i < 1000; i++)
        redis_command_add_number(&command, i);
    cr_assert_eq(redis_command_finish(&command, &bytes, &length), 0);
    cr_expect_arr_eq(bytes, "*1001\r\n$4\r\nZREM\r\n", 17);
    redis_command_done(&command);
}
