/* fixture - a command of usher-load given options in one line. */
#pragma once

#include "core/conf/conf.h"

/* What is wrong, and a part of what is said about it. */
struct refused {
    const char *words;
    const char *why;
};

/* Parses options in words that single spaces part, behind --dispatcher 127.0.0.1:7400 where they do not name one. The options must be
 * such as the table allows; conf_done frees them. */
void fixture_parse(const struct conf_program *program, const char *words, void *ret_options);
