/* run - the command `usher-load run`: from its options to a run of whole jobs.
 * Thread: the program's first. */
#pragma once

#include "bench/load/jobs.h"
#include "core/conf/conf.h"

struct load_run_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/load/run.def"
#undef OPTION
};

extern const struct conf_program load_run_program;

/* What no row of the table can check alone. -EINVAL with ret_error. */
NODISCARD int load_run_configure(const struct load_run_options *options, struct jobs_config *ret_config,
                                 struct conf_error *ret_error);

/* argv[0] is the command's name. Returns the exit code. */
int load_run_command(int argc, char *const *argv);
