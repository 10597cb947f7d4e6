#include "tools/usherctl/print.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32

/* Bytes that begin a character: how wide UTF-8 text is. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* Four digits tell what people want to know; --json has all of them. Without an exponent as far as that is readable. */
static int print_real(double value, struct buffer *text)
{
    return buffer_print(text, fabs(value) >= 1000 && fabs(value) < 1e9 ? "%.0f" : "%.4g", value);
}

/* What others have written must not steer a terminal or forge a row: control characters as in the log. */
static int print_escaped(const char *plain, struct buffer *text)
{
    int error = 0;
    for (const unsigned char *byte = (const unsigned char *)plain; *byte && error == 0; byte++) {
        if (*byte < 0x20 || *byte == 0x7f)
            error = buffer_print(text, "\\u%04x", *byte);
        else if (byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0)
            error = buffer_print(text, "\\u%04x", *++byte);
        else
            error = buffer_append(text, byte, 1);
    }
    return error;
}

/* A single value as a word or a few. What is deeper than a cell shows stays JSON. */
static int print_value(const json_t *value, struct buffer *text)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return print_escaped(json_string_length(value) ? json_string_value(value) : "-", text);
    case JSON_INTEGER: return buffer_print(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL: return print_real(json_real_value(value), text);
    case JSON_TRUE: return buffer_print(text, "yes");
    case JSON_FALSE: return buffer_print(text, "no");
    case JSON_NULL: return buffer_print(text, "-");
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    char *dump = json_dumps(value, JSON_COMPACT);
    int error = dump ? buffer_print(text, "%s", dump) : -ENOMEM;
    free(dump);
    return error;
}

/* What has a name and a state is told by these: "web=up". */
static int print_item(const json_t *item, struct buffer *text)
{
    const json_t *name = json_object_get(item, "name");
    const json_t *state = json_object_get(item, "state");
    if (!json_is_string(name) || !json_is_string(state))
        return print_value(item, text);
    int error = print_value(name, text);
    if (error == 0)
        error = buffer_print(text, "=");
    return error ? error : print_value(state, text);
}

/* a,b,c */
static int print_list(const json_t *list, struct buffer *text)
{
    int error = 0;
    for (size_t i = 0; i < json_array_size(list) && error == 0; i++) {
        error = i ? buffer_print(text, ",") : 0;
        if (error == 0)
            error = print_item(json_array_get(list, i), text);
    }
    return error;
}

/* name=value,name=value */
static int print_members(json_t *object, struct buffer *text)
{
    const char *name;
    json_t *value;
    size_t count = 0;
    int error = 0;
    json_object_foreach(object, name, value)
    {
        if (error == 0)
            error = buffer_print(text, "%s%s=", count++ ? "," : "", name);
        if (error == 0)
            error = print_value(value, text);
    }
    return error;
}

static int print_cell(json_t *value, struct buffer *text)
{
    if (!value || (json_is_array(value) && json_array_size(value) == 0) ||
        (json_is_object(value) && json_object_size(value) == 0))
        return buffer_print(text, "-");
    if (json_is_array(value))
        return print_list(value, text);
    return json_is_object(value) ? print_members(value, text) : print_value(value, text);
}

/* A cell's text with a NUL, in `cell`, which is emptied before. */
static int render_cell(json_t *value, struct buffer *cell)
{
    cell->length = 0;
    int error = print_cell(value, cell);
    return error ? error : buffer_append(cell, "", 1);
}

static int print_padded(struct buffer *text, const char *cell, size_t width, bool right)
{
    size_t used = text_width(cell);
    int padding = used < width ? (int)(width - used) : 0;
    return right ? buffer_print(text, "%*s%s", padding, "", cell) : buffer_print(text, "%s%*s", cell, padding, "");
}

/* Trailing spaces help nobody. */
static void trim_line(struct buffer *text)
{
    while (text->length && text->bytes[text->length - 1] == ' ')
        text->length--;
}

struct column {
    const char *name;
    size_t width;
    bool number;
};

/* Left out of tables, which they would make wider than a screen; --json has them. */
static bool is_for_machines(const char *name)
{
    static const char *const names[] = {"boot_id", "metadata", "metrics", "restored"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static size_t find_columns(const json_t *rows, struct column columns[static COLUMNS_MAX])
{
    size_t count = 0, i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *name;
        json_t *value;
        json_object_foreach(row, name, value)
        {
            size_t c = 0;
            if (is_for_machines(name))
                continue;
            while (c < count && strcmp(columns[c].name, name) != 0)
                c++;
            if (c == COLUMNS_MAX)
                continue;
            if (c == count)
                columns[count++] = (struct column){.name = name, .width = text_width(name), .number = true};
            columns[c].number = columns[c].number && (json_is_number(value) || json_is_null(value));
        }
    }
    return count;
}

static int measure_columns(const json_t *rows, struct column *columns, size_t count, struct buffer *cell)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < count; c++) {
            int error = render_cell(json_object_get(row, columns[c].name), cell);
            if (error < 0)
                return error;
            size_t width = text_width((const char *)cell->bytes);
            columns[c].width = width > columns[c].width ? width : columns[c].width;
        }
    }
    return 0;
}

static int print_row(const json_t *row, const struct column *columns, size_t count, struct buffer *cell, struct buffer *text)
{
    int error = 0;
    for (size_t c = 0; c < count && error == 0; c++) {
        error = row ? render_cell(json_object_get(row, columns[c].name), cell) : 0;
        const char *content = row && error == 0 ? (const char *)cell->bytes : columns[c].name;
        if (error == 0)
            error = print_padded(text, content, columns[c].width, columns[c].number);
        if (error == 0 && c + 1 < count)
            error = buffer_print(text, "  ");
    }
    trim_line(text);
    return error ? error : buffer_print(text, "\n");
}

static int print_table(const json_t *rows, struct buffer *text)
{
    struct column columns[COLUMNS_MAX];
    struct buffer cell = {0};
    size_t i;
    json_t *row;
    size_t count = find_columns(rows, columns);
    int error = measure_columns(rows, columns, count, &cell);
    if (error == 0)
        error = print_row(NULL, columns, count, &cell, text);
    json_array_foreach(rows, i, row)
    {
        if (error == 0)
            error = print_row(row, columns, count, &cell, text);
    }
    buffer_done(&cell);
    return error;
}

/* A list of objects is a table, an object within the answer is a block of its own; the rest fits on a line. */
static bool is_table(const json_t *value)
{
    return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

static bool is_line(const char *name, const json_t *value, bool within)
{
    return !is_table(value) && (within || !json_is_object(value)) && strcmp(name, "ok") != 0;
}

/* The members of the answer, or of an object within it, that fit on a line each. */
static int print_lines(json_t *object, bool within, struct buffer *text)
{
    struct buffer cell = {0};
    const char *name;
    json_t *value;
    size_t width = 0;
    int error = 0;
    json_object_foreach(object, name, value)
    {
        if (is_line(name, value, within) && text_width(name) > width)
            width = text_width(name);
    }
    json_object_foreach(object, name, value)
    {
        if (error < 0 || !is_line(name, value, within))
            continue;
        error = print_padded(text, name, width, false);
        if (error == 0)
            error = render_cell(value, &cell);
        if (error == 0)
            error = buffer_print(text, "  %s\n", (const char *)cell.bytes);
    }
    buffer_done(&cell);
    return error;
}

/* Its lines, then its tables under its name and theirs. */
static int print_block(const char *title, json_t *object, struct buffer *text)
{
    const char *name;
    json_t *value;
    int error = print_lines(object, true, text);
    json_object_foreach(object, name, value)
    {
        if (error == 0 && is_table(value))
            error = buffer_print(text, "\n%s %s:\n", title, name);
        if (error == 0 && is_table(value))
            error = print_table(value, text);
    }
    return error;
}

int print_answer(json_t *answer, struct buffer *text)
{
    size_t begin = text->length;
    const char *name;
    json_t *value;
    int error = print_lines(answer, false, text);
    json_object_foreach(answer, name, value)
    {
        bool only = text->length == begin && json_object_size(answer) <= 2; /* the answer to one question needs no title */
        if (error < 0 || (!is_table(value) && !json_is_object(value)))
            continue;
        if (!only)
            error = buffer_print(text, "%s%s:\n", text->length > begin ? "\n" : "", name);
        if (error == 0)
            error = is_table(value) ? print_table(value, text) : print_block(name, value, text);
    }
    if (error == 0 && text->length == begin)
        error = buffer_print(text, "ok\n");
    return error;
}
