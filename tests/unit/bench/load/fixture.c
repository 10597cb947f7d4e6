#include "tests/unit/bench/load/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 16

void fixture_parse(const struct conf_program *program, const char *words, void *ret_options)
{
    char text[256], *argv[WORDS_MAX], *next = text;
    struct conf_error why;
    int argc = 0;
    snprintf(text, sizeof(text), "load%s%s%s", strstr(words, "--dispatcher") ? "" : " --dispatcher 127.0.0.1:7400",
             *words ? " " : "", words);
    while (next && argc < WORDS_MAX)
        argv[argc++] = strsep(&next, " ");
    cr_assert_eq(conf_parse(program, argc, argv, ret_options, NULL, &why), 0, "%s", why.text);
}
