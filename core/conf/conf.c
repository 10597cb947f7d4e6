#include "core/conf/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/exit_code.h"
#include "core/base/version.h"
#include "core/conf/internal.h"
#include "core/conf/value.h"

/* One option of the command line, before its value has been looked at. */
struct argument {
    const struct conf_option *option;
    const char *value;
};

void conf_error_set(struct conf_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
}

int conf_fail(const char *program_name, const struct conf_error *error)
{
    fprintf(stderr, "%s: %s\n", program_name, error->text);
    return EXIT_CODE_USAGE;
}

const struct conf_option *conf_option_find(const struct conf_program *program, const char *name,
                                           const struct conf_table **ret_table, size_t *ret_position)
{
    size_t position = 0;
    for (size_t t = 0; t < program->table_count; t++) {
        const struct conf_table *table = &program->tables[t];
        for (size_t r = 0; r < table->row_count; r++, position++) {
            if (strcmp(table->rows[r].name, name) != 0)
                continue;
            *ret_table = table;
            *ret_position = position;
            return &table->rows[r];
        }
    }
    return NULL;
}

const struct conf_option *conf_find(const struct conf_program *program, const char *name, const struct conf_table **ret_table)
{
    const struct conf_table *table;
    size_t position;
    const struct conf_option *option = conf_option_find(program, name, &table, &position);
    if (option && ret_table)
        *ret_table = table;
    return option;
}

const char *conf_hint(const struct conf_program *program, const char *typed, const char *dashes, struct conf_error *hint)
{
    const char *names[CONF_OPTIONS_MAX];
    size_t count = 0;
    for (size_t t = 0; t < program->table_count; t++)
        for (size_t r = 0; r < program->tables[t].row_count; r++)
            names[count++] = program->tables[t].rows[r].name;
    const char *closest = conf_closest(typed, names, count);
    hint->text[0] = '\0';
    if (closest)
        conf_error_set(hint, " (did you mean %s%s?)", dashes, closest);
    return hint->text;
}

int conf_reading_put(struct conf_reading *reading, enum conf_source source, const char *name, const char *text,
                     struct conf_error *ret_error)
{
    const struct conf_table *table;
    size_t position;
    const struct conf_option *option = conf_option_find(reading->program, name, &table, &position);
    CHECK(option);
    bool more = reading->source[position] == source;
    /* Where something must be given, or is there by default, nothing is no value: programs rely on one. */
    if (!*text && option->kind != CONF_FLAG && ((option->flags & CONF_REQUIRED) || option->default_text[0])) {
        conf_error_set(ret_error, "is empty; give it a value or leave it out");
        return -EINVAL;
    }
    if (!*text && (option->flags & CONF_FILLED)) {
        conf_error_set(ret_error, "is empty; leave it out, or give it a value. %s", option->help);
        return -EINVAL;
    }
    /* On a command line the last one counts, which wrappers rely on; two lines of a file are a mistake of whoever wrote it. */
    if (more && source == CONF_SOURCE_FILE && !value_is_list(option->kind)) {
        conf_error_set(ret_error, "is given twice in this file; take one of the lines out");
        return -EINVAL;
    }
    int error = value_parse(option, text, more, reading->options + table->offset + option->offset, ret_error);
    if (error == 0)
        reading->source[position] = (uint8_t)source;
    return error;
}

/* Every default is one that the row itself allows: anything else is our bug. */
static int read_defaults(struct conf_reading *reading, struct conf_error *ret_error)
{
    size_t count = 0;
    memset(reading->options, 0, reading->program->options_bytes);
    for (size_t t = 0; t < reading->program->table_count; t++) {
        const struct conf_table *table = &reading->program->tables[t];
        for (size_t r = 0; r < table->row_count; r++) {
            const struct conf_option *row = &table->rows[r];
            int error = value_parse(row, row->default_text, false, reading->options + table->offset + row->offset, ret_error);
            CHECK(error == 0 || error == -ENOMEM);
            if (error < 0)
                return error;
            count++;
        }
    }
    CHECK(count <= CONF_OPTIONS_MAX);
    return 0;
}

static const struct conf_option *find_letter(const struct conf_program *program, char letter)
{
    for (size_t t = 0; t < program->table_count; t++)
        for (size_t r = 0; r < program->tables[t].row_count; r++)
            if (program->tables[t].rows[r].flags >> 8 == (unsigned char)letter)
                return &program->tables[t].rows[r];
    return NULL;
}

/* The row that `text` ("--listen", "--listen=x", "-c") names, and the value when it stands behind an equals sign. */
static int find_argument(const struct conf_program *program, const char *text, struct argument *ret_argument,
                         struct conf_error *ret_error)
{
    struct conf_error hint;
    char name[64];
    struct argument argument = {0};
    size_t length = strcspn(text, "=");
    if (text[1] != '-' && text[2] == '\0') {
        argument.option = find_letter(program, text[1]);
    } else if (text[1] == '-' && length - 2 < sizeof(name)) {
        memcpy(name, text + 2, length - 2);
        name[length - 2] = '\0';
        argument.option = conf_find(program, name, NULL);
        argument.value = text[length] == '=' ? text + length + 1 : NULL;
    }
    if (!argument.option && argument.value && (strcmp(name, "help") == 0 || strcmp(name, "version") == 0)) {
        conf_error_set(ret_error, "--%s takes no value", name);
        return -EINVAL;
    }
    if (!argument.option) {
        const char *typed = text + strspn(text, "-");
        conf_error_set(&hint, "%.*s", (int)strcspn(typed, "="), typed);
        struct conf_error spelled = hint;
        conf_error_set(ret_error, "unknown option %.*s%s; --help lists them all", (int)(length > 80 ? 80 : length), text,
                       conf_hint(program, spelled.text, "--", &hint));
        return -EINVAL;
    }
    *ret_argument = argument;
    return 0;
}

static int add_word(const struct conf_program *program, const char *text, struct conf_words *words, struct conf_error *ret_error)
{
    if (!program->words) {
        conf_error_set(ret_error, "unexpected \"%.100s\"; options begin with --, see --help", text);
        return -EINVAL;
    }
    if (words->count == CONF_WORDS_MAX) {
        conf_error_set(ret_error, "more than %d words; give fewer", CONF_WORDS_MAX);
        return -EINVAL;
    }
    words->item[words->count++] = text;
    return 0;
}

/* "-1" and "-.5", which no option begins with. */
static bool is_negative_number(const char *text)
{
    return text[0] == '-' && strspn(text + 1, "0123456789.") > 0;
}

/* Sorts the command line into options and words without looking at values. */
static int scan(const struct conf_program *program, int argc, char *const *argv, struct argument *arguments, size_t *ret_count,
                struct conf_words *words, struct conf_error *ret_error)
{
    size_t count = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        int error = 0;
        if (!only_words && strcmp(text, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || text[0] != '-' || text[1] == '\0' || (program->words && is_negative_number(text))) {
            error = add_word(program, text, words, ret_error);
            if (error < 0)
                return error;
            continue;
        }
        struct argument *argument = &arguments[count++];
        error = find_argument(program, text, argument, ret_error);
        if (error < 0)
            return error;
        if (argument->option->kind == CONF_FLAG && !argument->value)
            argument->value = "yes";
        if (!argument->value && (i + 1 == argc || strncmp(argv[i + 1], "--", 2) == 0)) {
            conf_error_set(ret_error, "%s needs a value: --%s %s", text, argument->option->name, argument->option->value_name);
            return -EINVAL;
        }
        if (!argument->value)
            argument->value = argv[++i];
    }
    *ret_count = count;
    return 0;
}

static int read_file(struct conf_reading *reading, const struct argument *arguments, size_t count, struct conf_error *ret_error)
{
    int error = 0;
    for (size_t i = 0; i < count && error == 0; i++)
        if (arguments[i].option->kind == CONF_FILE)
            error = conf_file_read(reading, arguments[i].value, ret_error);
    return error;
}

static int read_arguments(struct conf_reading *reading, const struct argument *arguments, size_t count,
                          struct conf_error *ret_error)
{
    struct conf_error why;
    for (size_t i = 0; i < count; i++) {
        const char *name = arguments[i].option->name;
        int error = conf_reading_put(reading, CONF_SOURCE_COMMAND_LINE, name, arguments[i].value, &why);
        if (error < 0) {
            conf_error_set(ret_error, "--%s: %.600s", name, why.text);
            return error;
        }
    }
    return 0;
}

static int check_required(const struct conf_reading *reading, struct conf_error *ret_error)
{
    size_t position = 0;
    for (size_t t = 0; t < reading->program->table_count; t++) {
        const struct conf_table *table = &reading->program->tables[t];
        for (size_t r = 0; r < table->row_count; r++, position++) {
            const struct conf_option *row = &table->rows[r];
            if (!(row->flags & CONF_REQUIRED) || reading->source[position] != CONF_SOURCE_DEFAULT)
                continue;
            conf_error_set(ret_error, "--%s %s is missing: %.400s", row->name, row->value_name, row->help);
            return -EINVAL;
        }
    }
    return 0;
}

/* --help, --version and --dump-docs count wherever they stand, so that they work on a command line that is wrong elsewhere. */
static int print_if_asked(const struct conf_program *program, int argc, char *const *argv, struct conf_error *ret_error)
{
    struct buffer text = {0};
    int error = 0;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--version") == 0)
            return conf_print_version(program->name);
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            error = conf_help(program, &text);
        else if (strncmp(argv[i], "--dump-docs=", 12) == 0)
            error = conf_docs(program, argv[i] + 12, &text);
        if (error < 0)
            conf_error_set(ret_error, error == -ENOMEM ? "out of memory" : "--dump-docs is man or markdown");
        if (error < 0 || text.length)
            break;
    }
    if (error == 0 && text.length)
        return conf_print_buffer(&text);
    buffer_done(&text);
    return error;
}

int conf_print_version(const char *name)
{
    printf("%s %s\n", name, USHER_VERSION);
    return CONF_PRINTED;
}

int conf_print_buffer(struct buffer *text)
{
    conf_write_output(text->bytes, text->length);
    buffer_done(text);
    return CONF_PRINTED;
}

int conf_parse(const struct conf_program *program, int argc, char *const *argv, void *options, struct conf_words *ret_words,
               struct conf_error *ret_error)
{
    struct conf_reading reading = {.program = program, .options = options};
    struct conf_words words = {.count = 0};
    size_t count;
    int error = print_if_asked(program, argc, argv, ret_error);
    if (error != 0)
        return error;
    struct argument *arguments = calloc((size_t)argc + 1, sizeof(*arguments));
    if (!arguments) {
        conf_error_set(ret_error, "out of memory");
        return -ENOMEM;
    }
    error = scan(program, argc, argv, arguments, &count, &words, ret_error);
    if (error == 0) {
        error = read_defaults(&reading, ret_error);
        if (error == 0)
            error = read_file(&reading, arguments, count, ret_error);
        if (error == 0)
            error = read_arguments(&reading, arguments, count, ret_error);
        if (error == 0)
            error = check_required(&reading, ret_error);
        if (error < 0)
            conf_done(program, options);
    }
    free(arguments);
    if (error == 0 && ret_words)
        *ret_words = words;
    return error;
}

void conf_done(const struct conf_program *program, void *options)
{
    for (size_t t = 0; t < program->table_count; t++) {
        const struct conf_table *table = &program->tables[t];
        for (size_t r = 0; r < table->row_count; r++)
            value_done(table->rows[r].kind, (char *)options + table->offset + table->rows[r].offset);
    }
}

int conf_set(const struct conf_program *program, void *options, const char *name, const char *value, struct conf_error *ret_error)
{
    struct conf_error hint, why;
    const struct conf_table *table;
    const struct conf_option *option = conf_find(program, name, &table);
    if (!option) {
        conf_error_set(ret_error, "unknown option %.80s%s", name, conf_hint(program, name, "", &hint));
        return -EINVAL;
    }
    if (!(option->flags & CONF_RUNTIME)) {
        conf_error_set(ret_error, "%s cannot be changed while %s runs; restart it with --%s", name, program->name, name);
        return -EINVAL;
    }
    int error = value_parse(option, value, false, (char *)options + table->offset + option->offset, &why);
    if (error < 0)
        conf_error_set(ret_error, "%s: %.600s", name, why.text);
    return error;
}

void conf_apply(const struct conf_program *program, void *options, void *fresh, conf_on_difference *on_change,
                conf_on_difference *on_refused, void *context)
{
    for (size_t t = 0; t < program->table_count; t++) {
        const struct conf_table *table = &program->tables[t];
        for (size_t r = 0; r < table->row_count; r++) {
            const struct conf_option *row = &table->rows[r];
            void *field = (char *)options + table->offset + row->offset;
            void *fresh_field = (char *)fresh + table->offset + row->offset;
            if (value_equal(row->kind, field, fresh_field))
                continue;
            if (!(row->flags & CONF_RUNTIME)) {
                on_refused(context, row);
                continue;
            }
            value_swap(row->kind, field, fresh_field);
            on_change(context, row);
        }
    }
}
