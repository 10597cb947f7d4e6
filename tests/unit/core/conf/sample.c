#include "tests/unit/core/conf/sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct conf_option sample_rows[] = {
#define OPTION(...) CONF_ROW(struct sample_options, __VA_ARGS__)
#include "tests/unit/core/conf/sample.def"
#undef OPTION
};

static const struct conf_table sample_tables[] = {
    {.title = "Options", .rows = sample_rows, .row_count = ARRAY_COUNT(sample_rows), .offset = 0},
};

const struct conf_program sample_program = {
    .name = "sample",
    .summary = "shows what core/conf does",
    .description = "First paragraph.\n\n.Second begins with a dot.",
    .man_section = 8,
    .options_bytes = sizeof(struct sample_options),
    .tables = sample_tables,
    .table_count = 1,
};

const struct conf_program sample_words_program = {
    .name = "sample",
    .summary = "takes words",
    .description = "",
    .words = "COMMAND",
    .man_section = 1,
    .options_bytes = sizeof(struct sample_options),
    .tables = sample_tables,
    .table_count = 1,
};

char **sample_argv(const char *const *arguments)
{
    static char *argv[64];
    size_t count = 0;
    while (arguments[count])
        count++;
    memcpy(argv, arguments, count * sizeof(*argv)); /* a main's argv is not const; nothing writes to it */
    return argv;
}

int sample_parse(const char *const *arguments, struct sample_options *options, struct conf_error *error)
{
    const char *argv[32] = {"sample", "--rm", "127.0.0.1:1"};
    int argc = 3;
    for (; *arguments; arguments++)
        argv[argc++] = *arguments;
    return conf_parse(&sample_program, argc, sample_argv(argv), options, NULL, error);
}

const char *sample_error(const char *const *arguments)
{
    static struct conf_error error;
    struct sample_options options;
    cr_assert_lt(sample_parse(arguments, &options, &error), 0);
    return error.text;
}

struct sample_options sample_ok(const char *const *arguments)
{
    struct conf_error error = {.text = ""};
    struct sample_options options;
    cr_assert_eq(sample_parse(arguments, &options, &error), 0, "%s", error.text);
    return options;
}

const char *sample_file(const char *content, size_t length)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/usher-conf-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, length), (ssize_t)length);
    close(fd);
    return path;
}
