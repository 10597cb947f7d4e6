/* sample - a program with one option of every kind, for the tests of core/conf. */
#pragma once

#include "core/conf/conf.h"

struct sample_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tests/unit/core/conf/sample.def"
#undef OPTION
};

extern const struct conf_program sample_program;
extern const struct conf_program sample_words_program;

/* The arguments as a main gets them; they end in NULL. Valid until the next call. */
char **sample_argv(const char *const *arguments);
#define SAMPLE_ARGV(...) sample_argv((const char *const[]){__VA_ARGS__, NULL})

/* Parses `sample --rm 127.0.0.1:1 ARGUMENTS…`; the arguments end in NULL. Returns conf_parse's result. */
int sample_parse(const char *const *arguments, struct sample_options *options, struct conf_error *error);

/* One parse of the given arguments that must fail; its text. */
const char *sample_error(const char *const *arguments);
#define SAMPLE_ERROR(...) sample_error((const char *const[]){__VA_ARGS__, NULL})

/* One parse that must succeed; free with conf_done(&sample_program, &options). */
struct sample_options sample_ok(const char *const *arguments);
#define SAMPLE_OK(...) sample_ok((const char *const[]){__VA_ARGS__, NULL})

/* Writes a configuration file; its path, valid until the next call. */
const char *sample_file(const char *content, size_t length);
