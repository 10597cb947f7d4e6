/* What `usher … --json` prints when it fails before it asks anybody: one object, and the exit code as without --json. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <jansson.h>
#include <string.h>

#include "client/command/command.h"

#define ARGUMENTS_MAX 12

struct failing {
    int (*command)(int argc, char *const *argv);
    const char *text; /* a part of the message */
    const char *arguments[ARGUMENTS_MAX];
};

static const char nodes_17[] = "1.1.1.1:1,1.1.1.1:2,1.1.1.1:3,1.1.1.1:4,1.1.1.1:5,1.1.1.1:6,1.1.1.1:7,1.1.1.1:8,1.1.1.1:9,"
                               "1.1.1.1:10,1.1.1.1:11,1.1.1.1:12,1.1.1.1:13,1.1.1.1:14,1.1.1.1:15,1.1.1.1:16,1.1.1.1:17";

static const struct failing failings[] = {
    {run_command,
     "cannot read /missing/file",
     {"run", "--json", "--dispatchers", "127.0.0.1:9", "--service", "echo", "--data", "@/missing/file"}},
    {run_command, "--service", {"run", "--json"}},
    {run_command, "--bogus", {"run", "--service", "echo", "--bogus", "--json"}},
    {ask_command, "--count", {"ask", "--count", "99", "--json"}},
    {ask_command, "bogus", {"ask", "--dispatchers", "bogus", "--json"}},
    {ask_command, "17 nodes are too many", {"ask", "--json", "--dispatchers", "127.0.0.1:9", "--exclude", nodes_17}},
    {where_command, "--proto", {"where", "--proto", "smoke", "--json"}},
    {plan_command, "--clients", {"plan", "--json"}},
    {ask_command, "--bind", {"ask", "--service", "echo", "--json", "--dispatchers", "127.0.0.1:9", "--bind", "::1"}},
    {plan_command, "--per-core", {"plan", "--clients", "5", "--per-core", "1e-300", "--json"}},
};

/* What the command printed on stdout. */
static size_t run_one(const struct failing *failing, char *ret_text, size_t capacity)
{
    char copies[ARGUMENTS_MAX][sizeof(nodes_17)];
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    int argc = 0;
    for (; argc < ARGUMENTS_MAX && failing->arguments[argc]; argc++) {
        snprintf(copies[argc], sizeof(copies[argc]), "%s", failing->arguments[argc]);
        argv[argc] = copies[argc];
    }
    cr_redirect_stdout();
    cr_expect_eq(failing->command(argc, argv), EXIT_CODE_USAGE, "%s", failing->text);
    fclose(stdout);
    return fread(ret_text, 1, capacity, cr_get_redirected_stdout());
}

static void expect_failure(size_t index)
{
    const struct failing *failing = &failings[index];
    char text[4096];
    size_t length = run_one(failing, text, sizeof(text));
    json_t *object = json_loadb(text, length, 0, NULL);
    const char *message = json_string_value(json_object_get(object, "message"));
    cr_assert_not_null(message, "%s: %.*s", failing->text, (int)length, text);
    cr_expect_not_null(strstr(message, failing->text), "%s: %s", failing->text, message);
    cr_expect_not_null(json_string_value(json_object_get(object, "error")));
    json_decref(object);
}

/* One test for each: a stream is redirected once in a process. */
#define FAILING(name, index)                                                                                                     \
    Test(failures, name)                                                                                                         \
    {                                                                                                                            \
        expect_failure(index);                                                                                                   \
    }
FAILING(missing_file_is_an_object, 0)
FAILING(missing_option_is_an_object, 1)
FAILING(unknown_option_is_an_object, 2)
FAILING(count_out_of_range_is_an_object, 3)
FAILING(bad_dispatcher_is_an_object, 4)
FAILING(too_many_excludes_are_an_object, 5)
FAILING(unknown_choice_is_an_object, 6)
FAILING(plan_without_clients_is_an_object, 7)
FAILING(bind_of_the_wrong_family_is_an_object, 8)
FAILING(plan_for_less_than_a_request_is_an_object, 9)
