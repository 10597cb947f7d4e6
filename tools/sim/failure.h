/* failure - how usher-sim's commands say what went wrong: a line on stderr and, with --json, one object on stdout.
 * Thread: one. */
#pragma once

#include <stdbool.h>

#include "core/conf/conf.h"

/* error: -EINVAL is wrong usage, others are failures. Returns the exit code. */
NODISCARD int sim_fail(const struct conf_program *program, bool json, int error, const struct conf_error *why);
