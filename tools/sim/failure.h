/* failure - how usher-sim's commands say what went wrong: a line on stderr and, with --json, one object on stdout.
 * Thread: one. */
#pragma once

#include <stdbool.h>

#include "core/conf/conf.h"

/* Whether --json is given: for mistakes that are found before the options are known. */
bool sim_wants_json(int argc, char *const *argv);

/* error: -EINVAL is wrong usage, others are failures. Returns the exit code. */
NODISCARD int sim_fail(const struct conf_program *program, bool json, int error, const struct conf_error *why);
