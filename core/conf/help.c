/* --help: everything a table says, wrapped for a terminal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/conf/internal.h"
#include "core/conf/value.h"

#define HELP_COLUMNS 100
#define HELP_INDENT 28

/* Columns that UTF-8 text takes: its characters. */
static size_t text_columns(const char *text, size_t length)
{
    size_t columns = 0;
    for (size_t i = 0; i < length; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

int conf_wrapped_print(struct buffer *text, const char *prose, size_t indent, size_t column)
{
    int error = 0;
    bool first = true;
    while (error == 0 && *prose) {
        size_t length = strcspn(prose, " \n");
        if (prose[0] == '\n') {
            error = buffer_append(text, "\n", 1);
            prose++;
            column = 0;
            first = true;
            continue;
        }
        if (length && !first && column + 1 + text_columns(prose, length) > HELP_COLUMNS) {
            error = buffer_print(text, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
        if (length && error == 0) {
            error = buffer_print(text, "%s%.*s", first ? "" : " ", (int)length, prose);
            column += text_columns(prose, length) + !first;
            first = false;
        }
        prose += length + (prose[length] == ' ');
    }
    return error ? error : buffer_append(text, "\n", 1);
}

static int print_allowed(const struct conf_option *option, struct buffer *text)
{
    char item[VALUE_ITEM_BYTES_MAX];
    const char *cursor = option->allowed, *before = option->kind == CONF_WEIGHTS ? " Names: " : " One of ";
    int error = 0;
    if (!option->allowed[0])
        return 0;
    if (strstr(option->allowed, ".."))
        return buffer_print(text, " Allowed: %s.", option->allowed);
    for (; error == 0 && value_next_item(&cursor, '|', item); before = ", ")
        error = buffer_print(text, "%s%s", before, item);
    return error ? error : buffer_print(text, ".");
}

int conf_prose_print(const struct conf_option *option, struct buffer *prose)
{
    int error = buffer_print(prose, "%s", option->help);
    if (error == 0)
        error = print_allowed(option, prose);
    if (error == 0 && option->default_text[0] && option->kind != CONF_FLAG && !(option->flags & CONF_REQUIRED))
        error = buffer_print(prose, " Default: %s.", option->default_text);
    if (error == 0 && (option->flags & CONF_REQUIRED))
        error = buffer_print(prose, " Must be given.");
    if (error == 0 && (option->kind == CONF_TEXTS || option->kind == CONF_LIST))
        error = buffer_print(prose, " May be repeated.");
    if (error == 0 && (option->flags & CONF_RUNTIME))
        error = buffer_print(prose, " Can be changed while running.");
    if (error == 0 && (option->flags & CONF_COMMAND_LINE) && option->kind != CONF_FILE)
        error = buffer_print(prose, " Only on the command line.");
    return error ? error : buffer_append(prose, "", 1);
}

static int print_option(const struct conf_option *option, struct buffer *text)
{
    struct buffer prose = {0};
    size_t begin = text->length;
    char letter = (char)(option->flags >> 8);
    int error = letter ? buffer_print(text, "  -%c, --%s", letter, option->name) : buffer_print(text, "  --%s", option->name);
    if (error == 0 && option->value_name[0])
        error = buffer_print(text, " %s", option->value_name);
    size_t column = text_columns((const char *)text->bytes + begin, text->length - begin);
    if (error == 0 && column + 2 > HELP_INDENT) {
        error = buffer_print(text, "\n");
        column = 0;
    }
    if (error == 0)
        error = buffer_print(text, "%*s", (int)(HELP_INDENT - column), "");
    if (error == 0)
        error = conf_prose_print(option, &prose);
    if (error == 0)
        error = conf_wrapped_print(text, (const char *)prose.bytes, HELP_INDENT, HELP_INDENT);
    buffer_done(&prose);
    return error;
}

static int print_table(const struct conf_table *table, struct buffer *text)
{
    int error = buffer_print(text, "\n%s:\n", table->title);
    for (size_t r = 0; r < table->row_count && error == 0; r++)
        error = print_option(&table->rows[r], text);
    return error;
}

int conf_help(const struct conf_program *program, struct buffer *text)
{
    int error = buffer_print(text, "%s - %s\n\nUsage: %s [OPTION...]%s%s\n", program->name, program->summary, program->name,
                             program->words ? " " : "", program->words ? program->words : "");
    if (error == 0 && program->description[0]) {
        error = buffer_print(text, "\n");
        if (error == 0)
            error = conf_wrapped_print(text, program->description, 0, 0);
    }
    for (size_t t = 0; t < program->table_count && error == 0; t++)
        error = print_table(&program->tables[t], text);
    if (error == 0)
        error = buffer_print(text, "\nOther options:\n  -h, --help                Show this help.\n"
                                   "  --version                 Show the version.\n");
    return error;
}
