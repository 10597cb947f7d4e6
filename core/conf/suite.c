#include "core/conf/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "core/conf/internal.h"

#define SUITE_COMMANDS_MAX 32

/* "ask" of "usher ask". */
static const char *command_word(const struct conf_suite *suite, size_t index)
{
    return suite->commands[index]->name + strlen(suite->name) + 1;
}

static int suite_help(const struct conf_suite *suite, struct buffer *text)
{
    int error = buffer_print(text, "%s - %s\n\nUsage: %s COMMAND [OPTION...]\n\n", suite->name, suite->summary, suite->name);
    if (error == 0)
        error = conf_wrapped_print(text, suite->description, 0, 0);
    if (error == 0)
        error = buffer_print(text, "\nCommands:\n");
    for (size_t i = 0; i < suite->command_count && error == 0; i++)
        error = buffer_print(text, "  %-12s %s\n", command_word(suite, i), suite->commands[i]->summary);
    if (error == 0)
        error = buffer_print(text, "\n%s COMMAND --help shows a command's options.\n", suite->name);
    return error;
}

static int suite_man(const struct conf_suite *suite, struct buffer *text)
{
    int error = docs_man_head(suite->name, suite->man_section, suite->summary, text);
    if (error == 0)
        error = buffer_print(text, ".SH SYNOPSIS\n");
    for (size_t i = 0; i < suite->command_count && error == 0; i++)
        error = docs_man_synopsis(suite->commands[i], text);
    if (error == 0)
        error = buffer_print(text, ".SH DESCRIPTION\n");
    if (error == 0)
        error = docs_man_text(suite->description, text);
    for (size_t i = 0; i < suite->command_count && error == 0; i++) {
        error = buffer_print(text, "\n.SH \"%s\"\n", suite->commands[i]->name);
        if (error == 0)
            error = docs_man_text(suite->commands[i]->summary, text);
        if (error == 0)
            error = buffer_print(text, ".\n.PP\n");
        if (error == 0)
            error = docs_man_text(suite->commands[i]->description, text);
        if (error == 0)
            error = buffer_print(text, "\n");
        if (error == 0)
            error = docs_man_options(suite->commands[i], text);
    }
    return error ? error : docs_man_exit(text);
}

static int suite_markdown(const struct conf_suite *suite, struct buffer *text)
{
    int error = buffer_print(text, "## %s\n\n%s\n", suite->name, suite->description);
    for (size_t i = 0; i < suite->command_count && error == 0; i++) {
        error = buffer_print(text, "\n");
        if (error == 0)
            error = docs_markdown_program(suite->commands[i], "###", text);
    }
    return error;
}

/* CONF_PRINTED, -ENOMEM, or 0: it was none of these. */
static int print_if_asked(const struct conf_suite *suite, const char *word)
{
    struct buffer text = {0};
    int error = 0;
    if (strcmp(word, "--version") == 0)
        return conf_print_version(suite->name);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        error = suite_help(suite, &text);
    else if (strcmp(word, "--dump-docs=man") == 0)
        error = suite_man(suite, &text);
    else if (strcmp(word, "--dump-docs=markdown") == 0)
        error = suite_markdown(suite, &text);
    if (error == 0 && text.length)
        return conf_print_buffer(&text);
    buffer_done(&text);
    return error;
}

int conf_suite_choose(const struct conf_suite *suite, int argc, char *const *argv, size_t *ret_index,
                      struct conf_error *ret_error)
{
    const char *words[SUITE_COMMANDS_MAX];
    size_t count = suite->command_count;
    CHECK(count > 0 && count <= SUITE_COMMANDS_MAX);
    for (size_t i = 0; i < count; i++)
        words[i] = command_word(suite, i);
    if (argc < 2) {
        conf_error_set(ret_error, "say what to do: %s %s; %s --help lists the commands", suite->name, words[0], suite->name);
        return -EINVAL;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(argv[1], words[i]) == 0) {
            *ret_index = i;
            return 0;
        }
    int printed = print_if_asked(suite, argv[1]);
    if (printed == CONF_PRINTED)
        return printed;
    if (strncmp(argv[1], "--help=", 7) == 0 || strncmp(argv[1], "--version=", 10) == 0) {
        conf_error_set(ret_error, "%.*s takes no value", (int)strcspn(argv[1], "="), argv[1]);
        return -EINVAL;
    }
    const char *closest = conf_closest(argv[1], words, count);
    conf_error_set(ret_error, "unknown command \"%.80s\"%s%s%s; %s --help lists the commands", argv[1],
                   closest ? " (did you mean " : "", closest ? closest : "", closest ? "?)" : "", suite->name);
    return printed < 0 ? printed : -EINVAL;
}
