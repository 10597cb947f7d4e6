/* Log lines: what a peer wrote into a value can neither forge a line nor break its JSON. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"

static int ends[2];

/* stderr goes into a pipe; Criterion reports through its own. */
static void setup(void)
{
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
}

/* All that was logged. */
static const char *logged(void)
{
    static char text[8192];
    close(STDERR_FILENO);
    ssize_t got = read(ends[0], text, sizeof(text) - 1);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

TestSuite(log, .init = setup);

Test(log, line_end_in_a_value_forges_no_line)
{
    log_configure("test", LOG_INFO, false);
    LOG(MESSAGE_OPTION_CHANGED, LOG_TEXT("option", "a\n2026 error forged \"x\\"));
    const char *text = logged();
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1);
    cr_expect_not_null(strstr(text, " option=\"a\\u000a2026 error forged \\\"x\\\\\" : "), "%s", text);
}

Test(log, endless_value_leaves_json_whole)
{
    static char value[100000];
    json_error_t why;
    memset(value, '"', sizeof(value) - 1);
    log_configure("test", LOG_INFO, true);
    LOG(MESSAGE_RELOAD_FAILED, LOG_TEXT("reason", value), LOG_NUMBER("line", -3));
    json_t *object = json_loads(logged(), 0, &why);
    cr_assert(json_is_object(object), "%s", why.text);
    cr_expect_eq(json_integer_value(json_object_get(object, "line")), -3);
    cr_expect_str_eq(json_string_value(json_object_get(object, "level")), "error");
    cr_expect_str_eq(json_string_value(json_object_get(object, "program")), "test");
    json_decref(object);
}

Test(log, what_is_below_the_level_is_not_written)
{
    log_configure("test", LOG_DEBUG, false);
    log_set_level(LOG_WARN);
    LOG(MESSAGE_STOPPED);
    cr_expect_str_eq(logged(), "");
}

Test(log, plain_values_stand_without_quotes)
{
    log_configure("test", LOG_INFO, false);
    LOG(MESSAGE_STARTED, LOG_TEXT("listen", "127.0.0.1:7300"), LOG_NUMBER("threads", 2));
    cr_expect_not_null(strstr(logged(), "Z info started listen=127.0.0.1:7300 threads=2 : ready\n"));
}
