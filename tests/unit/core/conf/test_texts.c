/* What people read: --help, the man page, OPTIONS.md, and the commands of a suite. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <string.h>

#include "core/conf/internal.h"
#include "core/conf/suite.h"
#include "tests/unit/core/conf/sample.h"

static const struct conf_program suite_ask = {.name = "tool ask", .summary = "asks", .description = "", .man_section = 1};
static const struct conf_program suite_run = {.name = "tool run", .summary = "runs", .description = "", .man_section = 1};
static const struct conf_program *const suite_commands[] = {&suite_ask, &suite_run};
static const struct conf_suite suite = {"tool", "does things", "Does things.", 1, suite_commands, 2};

static const char *docs(const char *form)
{
    static struct buffer text;
    buffer_done(&text);
    cr_assert_eq(form ? conf_docs(&sample_program, form, &text) : conf_help(&sample_program, &text), 0);
    cr_assert_eq(buffer_append(&text, "", 1), 0);
    return (const char *)text.bytes;
}

Test(texts, unknown_form_of_docs_is_refused)
{
    struct buffer text = {0};
    cr_expect_eq(conf_docs(&sample_program, "html", &text), -EINVAL);
}

Test(texts, help_has_every_option_and_fits_a_terminal)
{
    const char *text = docs(NULL);
    for (size_t i = 0; i < sample_program.tables[0].row_count; i++) {
        char option[64];
        snprintf(option, sizeof(option), "--%s", sample_program.tables[0].rows[i].name);
        cr_expect_not_null(strstr(text, option), "%s", option);
    }
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        cr_expect_leq(strcspn(line, "\n"), 100);
}

Test(texts, help_says_default_range_and_alternatives)
{
    const char *text = docs(NULL);
    cr_expect_not_null(strstr(text, "Interval. Allowed: 10ms..60s. Default: 1s. Can be changed while running."));
    cr_expect_not_null(strstr(text, "How to pick. One of random, two-choices. Default: random."));
    cr_expect_not_null(strstr(text, "Must be given."));
}

Test(texts, man_page_escapes_what_roff_would_take)
{
    const char *text = docs("man");
    cr_expect_not_null(strstr(text, ".TH \"SAMPLE\" \"8\""));
    cr_expect_not_null(strstr(text, "\n.PP\n\\&.Second begins"));
    cr_expect_not_null(strstr(text, "\\fB\\-\\-load\\-weights\\fR \\fILIST\\fR\n"));
}

Test(texts, markdown_escapes_bars)
{
    cr_expect_not_null(strstr(docs("markdown"), "| `-c`, `--config FILE` | Read options from FILE. |\n"));
}

static int choose(const char *word, size_t *index, struct conf_error *error)
{
    return conf_suite_choose(&suite, word ? 2 : 1, SAMPLE_ARGV("tool", word), index, error);
}

Test(suite, missing_and_unknown_commands_are_refused)
{
    size_t index = 9;
    struct conf_error error;
    cr_expect_eq(choose(NULL, &index, &error), -EINVAL);
    cr_expect_str_eq(error.text, "say what to do: tool ask; tool --help lists the commands");
    cr_expect_eq(choose("akk", &index, &error), -EINVAL);
    cr_expect_str_eq(error.text, "unknown command \"akk\" (did you mean ask?); tool --help lists the commands");
    cr_expect_eq(index, 9, "untouched on failure");
}

Test(suite, command_is_found)
{
    size_t index;
    struct conf_error error;
    cr_assert_eq(choose("run", &index, &error), 0);
    cr_expect_eq(index, 1);
}

Test(suite, help_and_docs_are_printed, .init = cr_redirect_stdout)
{
    size_t index;
    struct conf_error error;
    cr_expect_eq(choose("help", &index, &error), CONF_PRINTED);
    cr_expect_eq(choose("--dump-docs=man", &index, &error), CONF_PRINTED);
    cr_expect_eq(choose("--dump-docs=markdown", &index, &error), CONF_PRINTED);
    cr_expect_eq(choose("--version", &index, &error), CONF_PRINTED);
}
