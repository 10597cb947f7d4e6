/* ask - the command `usher-load ask`: from its options to a run of the engine.
 * Thread: the program's only one. */
#pragma once

#include "bench/load/engine.h"
#include "core/conf/conf.h"

struct load_ask_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/load/ask.def"
#undef OPTION
};

extern const struct conf_program load_ask_program;

/* What no row of the table can check alone. -EINVAL with ret_error. */
NODISCARD int load_ask_configure(const struct load_ask_options *options, struct engine_config *ret_config,
                                 struct conf_error *ret_error);

/* argv[0] is the command's name. Returns the exit code. */
int load_ask_command(int argc, char *const *argv);
