/* Man pages and docs/OPTIONS.md, from the same tables as the parser. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/version.h"
#include "core/conf/internal.h"

/* Escapes what roff would take for a command. Every caller is at the start of a line or behind a dash of its own. */
int docs_man_text(const char *prose, struct buffer *text)
{
    int error = 0;
    bool line_start = true;
    for (; *prose && error == 0; prose++) {
        if (*prose == '\n' && prose[1] == '\n') {
            error = buffer_print(text, "\n.PP\n");
            prose++;
            line_start = true;
            continue;
        }
        if (*prose == '\\')
            error = buffer_print(text, "\\e");
        else if (*prose == '-')
            error = buffer_print(text, "\\-");
        else if (line_start && (*prose == '.' || *prose == '\''))
            error = buffer_print(text, "\\&%c", *prose);
        else
            error = buffer_append(text, prose, 1);
        line_start = *prose == '\n';
    }
    return error;
}

int docs_man_head(const char *name, int section, const char *summary, struct buffer *text)
{
    int error = buffer_print(text, ".\\\" Made from the tables of options by the program itself.\n.TH \"");
    for (const char *at = name; *at && error == 0; at++)
        error = buffer_print(text, "%c", toupper((unsigned char)*at));
    if (error == 0)
        error = buffer_print(text, "\" \"%d\" \"\" \"Usher %s\" \"Usher\"\n.SH NAME\n", section, USHER_VERSION);
    if (error == 0)
        error = docs_man_text(name, text);
    if (error == 0)
        error = buffer_print(text, " \\- ");
    if (error == 0)
        error = docs_man_text(summary, text);
    return error ? error : buffer_print(text, "\n");
}

int docs_man_synopsis(const struct conf_program *program, struct buffer *text)
{
    int error = buffer_print(text, ".B ");
    if (error == 0)
        error = docs_man_text(program->name, text);
    if (error == 0)
        error = buffer_print(text, "\n[\\fIOPTION\\fR...]");
    if (error == 0 && program->words) {
        error = buffer_print(text, " ");
        if (error == 0)
            error = docs_man_text(program->words, text);
    }
    return error ? error : buffer_print(text, "\n.br\n");
}

static int man_option(const struct conf_option *option, struct buffer *text)
{
    char letter = (char)(option->flags >> 8);
    int error = buffer_print(text, ".TP\n");
    if (error == 0 && letter)
        error = buffer_print(text, "\\fB\\-%c\\fR, ", letter);
    if (error == 0)
        error = buffer_print(text, "\\fB\\-\\-");
    if (error == 0)
        error = docs_man_text(option->name, text);
    if (error == 0)
        error = buffer_print(text, "\\fR");
    if (error == 0 && option->value_name[0]) {
        error = buffer_print(text, " \\fI");
        if (error == 0)
            error = docs_man_text(option->value_name, text);
        if (error == 0)
            error = buffer_print(text, "\\fR");
    }
    struct buffer prose = {0};
    if (error == 0)
        error = conf_prose_print(option, &prose);
    if (error == 0)
        error = buffer_print(text, "\n");
    if (error == 0)
        error = docs_man_text((const char *)prose.bytes, text);
    buffer_done(&prose);
    return error ? error : buffer_print(text, "\n");
}

int docs_man_options(const struct conf_program *program, struct buffer *text)
{
    int error = 0;
    for (size_t t = 0; t < program->table_count && error == 0; t++) {
        error = buffer_print(text, ".SS ");
        if (error == 0)
            error = docs_man_text(program->tables[t].title, text);
        if (error == 0)
            error = buffer_print(text, "\n");
        for (size_t r = 0; r < program->tables[t].row_count && error == 0; r++)
            error = man_option(&program->tables[t].rows[r], text);
    }
    return error;
}

int docs_man_exit(struct buffer *text)
{
    return buffer_print(text, ".SH \"EXIT STATUS\"\n.TP\n.B 0\nAll went well.\n.TP\n.B 1\nFailed.\n.TP\n.B 2\n"
                              "An option, the configuration or a command is wrong.\n.TP\n.B 3\nNobody answered.\n.TP\n.B 4\n"
                              "No node is eligible.\n");
}

static int man_page(const struct conf_program *program, struct buffer *text)
{
    int error = docs_man_head(program->name, program->man_section, program->summary, text);
    if (error == 0)
        error = buffer_print(text, ".SH SYNOPSIS\n");
    if (error == 0)
        error = docs_man_synopsis(program, text);
    if (error == 0 && program->description[0]) {
        error = buffer_print(text, ".SH DESCRIPTION\n");
        if (error == 0)
            error = docs_man_text(program->description, text);
        if (error == 0)
            error = buffer_print(text, "\n");
    }
    if (error == 0)
        error = buffer_print(text, ".SH OPTIONS\n");
    if (error == 0)
        error = docs_man_options(program, text);
    return error ? error : docs_man_exit(text);
}

/* In a cell of a table a bar would end the cell. */
static int markdown_cell(const char *prose, struct buffer *text)
{
    int error = 0;
    for (; *prose && error == 0; prose++)
        error = *prose == '|' ? buffer_print(text, "\\|") : buffer_append(text, *prose == '\n' ? " " : prose, 1);
    return error;
}

static int markdown_option(const struct conf_option *option, struct buffer *text)
{
    struct buffer prose = {0};
    char letter = (char)(option->flags >> 8);
    int error = buffer_print(text, "| `");
    if (error == 0 && letter)
        error = buffer_print(text, "-%c`, `", letter);
    if (error == 0)
        error = buffer_print(text, "--%s%s%s` | ", option->name, option->value_name[0] ? " " : "", option->value_name);
    if (error == 0)
        error = conf_prose_print(option, &prose);
    if (error == 0)
        error = markdown_cell((const char *)prose.bytes, text);
    buffer_done(&prose);
    return error ? error : buffer_print(text, " |\n");
}

int docs_markdown_program(const struct conf_program *program, const char *heading, struct buffer *text)
{
    int error = buffer_print(text, "%s %s\n\n`%s [OPTION...]%s%s` - %s.\n", heading, program->name, program->name,
                             program->words ? " " : "", program->words ? program->words : "", program->summary);
    if (error == 0 && program->description[0])
        error = buffer_print(text, "\n%s\n", program->description);
    for (size_t t = 0; t < program->table_count && error == 0; t++) {
        error = buffer_print(text, "\n%s# %s: %s\n\n| option | meaning |\n|---|---|\n", heading, program->name,
                             program->tables[t].title);
        for (size_t r = 0; r < program->tables[t].row_count && error == 0; r++)
            error = markdown_option(&program->tables[t].rows[r], text);
    }
    return error;
}

int conf_docs(const struct conf_program *program, const char *form, struct buffer *text)
{
    if (strcmp(form, "man") == 0)
        return man_page(program, text);
    if (strcmp(form, "markdown") == 0)
        return docs_markdown_program(program, "##", text);
    return -EINVAL;
}
