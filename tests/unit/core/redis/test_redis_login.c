/* Files with passwords: who may read them, and what may stand in them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/redis/redis_login.h"

static char path[] = "/tmp/usher-login-XXXXXX";
static char password[REDIS_PASSWORD_BYTES_MAX + 1] = "untouched";
static char reason[REDIS_LOGIN_REASON_BYTES];

static void setup(void)
{
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

TestSuite(redis_login, .init = setup, .fini = teardown);

static int read_after(const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
    return redis_password_read(path, password, reason);
}

Test(redis_login, users_that_redis_would_not_take_are_refused)
{
    char longest[REDIS_USER_BYTES_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    cr_expect_not(redis_user_valid(""));
    cr_expect_not(redis_user_valid("a b"));
    cr_expect_not(redis_user_valid("a\n"));
    cr_expect_not(redis_user_valid(longest));
    longest[REDIS_USER_BYTES_MAX] = '\0';
    cr_expect(redis_user_valid(longest));
}

Test(redis_login, file_that_is_missing_or_none_is_told)
{
    cr_expect_eq(redis_password_read("/nowhere/at-all", password, reason), -ENOENT);
    cr_expect_not_null(strstr(reason, "/nowhere/at-all: No such file"), "%s", reason);
    cr_expect_eq(redis_password_read("/tmp", password, reason), -EINVAL);
    cr_expect_eq(redis_password_read("/dev/null", password, reason), -EINVAL);
    cr_expect_str_eq(password, "untouched");
}

Test(redis_login, file_that_others_may_read_is_refused)
{
    static const mode_t modes[] = {0604, 0640, 0602, 0620, 0777};
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        cr_assert_eq(chmod(path, modes[i]), 0);
        cr_expect_eq(read_after("secret\n", 7), -EPERM, "%o", (unsigned)modes[i]);
    }
    cr_expect_not_null(strstr(reason, "chmod 600"));
    cr_expect_str_eq(password, "untouched");
}

Test(redis_login, anything_but_one_line_is_refused)
{
    char longest[REDIS_PASSWORD_BYTES_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    cr_expect_eq(read_after("", 0), -EINVAL);
    cr_expect_eq(read_after("\n", 1), -EINVAL);
    cr_expect_eq(read_after("a\nb", 3), -EINVAL);
    cr_expect_eq(read_after("a\r\n", 3), -EINVAL);
    cr_expect_eq(read_after("a\0b\n", 4), -EINVAL);
    cr_expect_eq(read_after(longest, sizeof(longest)), -EINVAL);
    cr_expect_str_eq(password, "untouched");
    cr_expect_null(strstr(reason, "aaa"), "a reason shows no password");
}

Test(redis_login, line_is_the_password)
{
    char longest[REDIS_PASSWORD_BYTES_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    longest[REDIS_PASSWORD_BYTES_MAX] = '\n';
    cr_assert_eq(read_after(" open sesame ", 13), 0);
    cr_expect_str_eq(password, " open sesame ");
    cr_assert_eq(read_after("secret\n", 7), 0);
    cr_expect_str_eq(password, "secret");
    cr_assert_eq(read_after(longest, sizeof(longest)), 0);
    cr_expect_eq(strlen(password), REDIS_PASSWORD_BYTES_MAX);
}
