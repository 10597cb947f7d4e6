/* internal - what the files of core/conf share: one reading of options. Thread: one. */
#pragma once

#include "core/conf/conf.h"

#define CONF_OPTIONS_MAX 128

enum conf_source {
    CONF_SOURCE_DEFAULT,
    CONF_SOURCE_FILE,
    CONF_SOURCE_COMMAND_LINE,
};

struct conf_reading {
    const struct conf_program *program;
    char *options;
    uint8_t source[CONF_OPTIONS_MAX]; /* enum conf_source, by the row's position among all rows of the program */
};

/* Finds a row by its name; its position among all rows goes to ret_position. NULL when there is none. */
const struct conf_option *conf_option_find(const struct conf_program *program, const char *name,
                                           const struct conf_table **ret_table, size_t *ret_position);

/* Parses a value from a source into the options. */
NODISCARD int conf_reading_put(struct conf_reading *reading, enum conf_source source, const char *name, const char *text,
                               struct conf_error *ret_error);

/* " (did you mean X?)", or "" when no name is near. */
const char *conf_hint(const struct conf_program *program, const char *typed, const char *dashes, struct conf_error *hint);

/* Reads a configuration file. Errors begin with `file:line: `. */
NODISCARD int conf_file_read(struct conf_reading *reading, const char *path, struct conf_error *ret_error);

/* What an option is for, and the facts: "… Allowed: 10ms..1m. Default: 1s. Can be changed while running.", as a string into an empty
 * buffer. */
NODISCARD int conf_prose_print(const struct conf_option *option, struct buffer *prose);

/* Appends words, breaking lines for a terminal; the first word begins in `column`, later lines in `indent`. Ends the line. */
NODISCARD int conf_wrapped_print(struct buffer *text, const char *prose, size_t indent, size_t column);

/* Writes what --help, --version or --dump-docs asks for to stdout. */
NODISCARD int conf_print_version(const char *name);
NODISCARD int conf_print_buffer(struct buffer *text);

/* The whole man page or markdown section; `form` is "man" or "markdown". -EINVAL: another form. -ENOMEM. */
NODISCARD int conf_docs(const struct conf_program *program, const char *form, struct buffer *text);

/* Parts of a man page, for suites. */
NODISCARD int docs_man_head(const char *name, int section, const char *summary, struct buffer *text);
NODISCARD int docs_man_text(const char *prose, struct buffer *text);
NODISCARD int docs_man_synopsis(const struct conf_program *program, struct buffer *text);
NODISCARD int docs_man_options(const struct conf_program *program, struct buffer *text);
NODISCARD int docs_man_exit(struct buffer *text);
NODISCARD int docs_markdown_program(const struct conf_program *program, const char *heading, struct buffer *text);
