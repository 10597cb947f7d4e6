/* The admin commands as lines: garbage is refused in words, answers are one JSON object each. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/daemon/admin.h"

static int run_echo(void *state, struct admin_call *call)
{
    *(int *)state += 1;
    json_object_set_new(call->answer, "count", json_integer((json_int_t)call->word_count));
    for (size_t i = 0; i < call->word_count; i++)
        json_object_set_new(call->answer, i ? "last" : "first", json_string(call->words[i]));
    return 0;
}

static int run_ready(void *state, struct admin_call *call)
{
    const char *reason;
    (void)state;
    int error = admin_option(call, 1, "--reason", &reason);
    if (error == 0 && reason)
        json_object_set_new(call->answer, "reason", json_string(reason));
    return error;
}

static int run_fail(void *state, struct admin_call *call)
{
    (void)state;
    json_object_set_new(call->answer, "half", json_true());
    return admin_fail(call, -ENOENT, EXIT_CODE_NO_NODE, "no node \"%s\"", "x");
}

static const struct admin_command commands[] = {
    {"echo", "[WORD...]", 0, ADMIN_WORDS_MAX, "says it again", run_echo},
    {"drain", "NODE", 1, 1, "drains", run_echo},
    {"ready", "NODE [--reason TEXT]", 1, ADMIN_WORDS_MAX, "undrains", run_ready},
    {"fail", "", 0, 0, "fails", run_fail},
};
static int calls;
static void *const calls_pointer = &calls;
static const struct admin_table tables[] = {{commands, ARRAY_COUNT(commands), &calls_pointer}};

/* The answer; valid until the next call. */
static json_t *ask_bytes(const char *line, size_t length)
{
    static json_t *answer;
    struct buffer text = {0};
    json_decref(answer);
    cr_assert_eq(admin_execute(tables, 1, line, length, &text), 0);
    cr_assert_eq(text.bytes[text.length - 1], '\n');
    cr_assert_null(memchr(text.bytes, '\n', text.length - 1), "one line");
    answer = json_loadb((const char *)text.bytes, text.length, 0, NULL);
    cr_assert(json_is_object(answer));
    buffer_done(&text);
    return answer;
}

static json_t *ask(const char *line)
{
    return ask_bytes(line, strlen(line));
}

static const char *failure(const char *line)
{
    json_t *answer = ask(line);
    cr_expect(json_is_false(json_object_get(answer, "ok")), "%s", line);
    cr_expect_eq(json_integer_value(json_object_get(answer, "exit")), EXIT_CODE_USAGE);
    return json_string_value(json_object_get(answer, "text"));
}

Test(admin, empty_and_unknown_commands_are_refused)
{
    cr_expect_str_eq(failure(""), "an empty line; send a command, such as help");
    cr_expect_str_eq(failure("  \t\r"), "an empty line; send a command, such as help");
    cr_expect_str_eq(failure("[]"), "an empty line; send a command, such as help");
    cr_expect_str_eq(failure("drian n"), "this daemon knows no command \"drian\" (did you mean drain?); help lists its commands");
    cr_expect_str_eq(failure("GET / HTTP/1.1"), "this daemon knows no command \"GET\"; help lists its commands");
}

Test(admin, broken_json_is_refused)
{
    cr_expect_not_null(strstr(failure("["), "not a JSON array"));
    cr_expect_not_null(strstr(failure("[\"echo\"] more"), "not a JSON array"));
    cr_expect_str_eq(failure("[1]"), "a member of the array is no string; send [\"COMMAND\",\"WORD\",...]");
    cr_expect_str_eq(failure("[[\"echo\"]]"), "a member of the array is no string; send [\"COMMAND\",\"WORD\",...]");
}

Test(admin, wrong_number_of_words_shows_the_command)
{
    cr_expect_str_eq(failure("drain"), "too few words; the command is: drain NODE");
    cr_expect_str_eq(failure("drain a b"), "too many words; the command is: drain NODE");
    cr_expect_str_eq(failure("fail a"), "too many words; the command is: fail");
}

Test(admin, zero_byte_is_refused)
{
    json_t *answer = ask_bytes("ec\0ho", 5);
    cr_expect_str_eq(json_string_value(json_object_get(answer, "text")), "a zero byte in the line; send text");
}

Test(admin, too_many_words_and_too_long_lines_are_refused)
{
    static char line[ADMIN_LINE_BYTES_MAX + 2];
    for (size_t i = 0; i < 2 * (ADMIN_WORDS_MAX + 1); i += 2)
        memcpy(line + i, "a ", 3);
    cr_expect_str_eq(failure(line), "more than 64 words; send fewer");
    memset(line, 'a', sizeof(line) - 1);
    cr_expect_str_eq(failure(line), "the line is longer than 4096 bytes; send a shorter one");
}

Test(admin, bytes_that_are_no_text_get_an_answer)
{
    static char line[300] = "";
    cr_expect_str_eq(failure("\xff\xfe\xfd"), "the line is not UTF-8; send text");
    cr_expect_str_eq(failure("[\"\xff\"]"), "the line is not UTF-8; send text");
    for (size_t i = 0; i < 200; i += 2)
        memcpy(line + 1 + i, "\u00e4", 3);
    line[0] = 'a';
    cr_expect_not_null(strstr(failure(line), "knows no command"), "a name cut within a character");
}

Test(admin, deep_json_is_refused)
{
    static char line[ADMIN_LINE_BYTES_MAX + 1];
    memset(line, '[', ADMIN_LINE_BYTES_MAX);
    cr_expect_not_null(failure(line));
}

Test(admin, words_that_are_no_option_are_refused)
{
    cr_expect_str_eq(failure("ready n bogus words"), "\"bogus\" is not understood here; only --reason TEXT may follow");
    cr_expect_str_eq(failure("ready n bogus --reason b"), "\"bogus\" is not understood here; only --reason TEXT may follow");
    cr_expect_str_eq(failure("ready n --reason"), "--reason: the text is missing");
    cr_expect_str_eq(failure("ready n --reason a new disk"), "\"new\" is a word too many; quote the text behind --reason");
}

Test(admin, failure_hides_what_the_handler_had_added)
{
    json_t *answer = ask("fail");
    cr_expect_null(json_object_get(answer, "half"));
    cr_expect_str_eq(json_string_value(json_object_get(answer, "error")), "ENOENT");
    cr_expect_str_eq(json_string_value(json_object_get(answer, "text")), "no node \"x\"");
    cr_expect_eq(json_integer_value(json_object_get(answer, "exit")), EXIT_CODE_NO_NODE);
}

Test(admin, words_and_json_mean_the_same)
{
    json_t *answer = ask("  ready  a   --reason b\r");
    cr_expect(json_is_true(json_object_get(answer, "ok")));
    cr_expect_str_eq(json_string_value(json_object_get(answer, "reason")), "b");
    answer = ask("[\"ready\",\"a\",\"--reason\",\"two words\"]");
    cr_expect_str_eq(json_string_value(json_object_get(answer, "reason")), "two words");
    answer = ask("  echo  a \t b\r");
    cr_expect_eq(json_integer_value(json_object_get(answer, "count")), 2);
    answer = ask("[\"echo\",\"a\",\"b c\"]");
    cr_expect_eq(json_integer_value(json_object_get(answer, "count")), 2);
    cr_expect_str_eq(json_string_value(json_object_get(answer, "last")), "b c");
    cr_expect_eq(calls, 2, "the handler gets its table's state");
}
