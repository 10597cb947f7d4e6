/* suite - a program of several commands ("usher ask", "usher run"), each with options of its own.
 * Thread: one. Memory: nothing is allocated that is not freed. */
#pragma once

#include "core/conf/conf.h"

struct conf_suite {
    const char *name; /* "usher" */
    const char *summary;
    const char *description;
    int man_section;
    const struct conf_program *const *commands; /* their names begin with the suite's and a space */
    size_t command_count;
};

/* Which command argv[1] names: its index, and the rest is conf_parse's (argc - 1, argv + 1). CONF_PRINTED after --help, help,
 * --version or --dump-docs. -EINVAL with ret_error: no command, or an unknown one (names the closest). */
NODISCARD int conf_suite_choose(const struct conf_suite *suite, int argc, char *const *argv, size_t *ret_index,
                                struct conf_error *ret_error);
