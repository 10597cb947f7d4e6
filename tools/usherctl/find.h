/* find - which daemon is meant when no socket was named: the only one that runs.
 * Thread: any. Memory: the text goes into the caller's. Blocks as little as looking into a folder does. */
#pragma once

#include <limits.h>

#include "core/conf/conf.h"

/* `state_dir` NULL: where daemons keep their state by default. Returns 0, or an exit code with ret_error, which lists the
 * sockets when there are several. */
NODISCARD int find_socket(const char *state_dir, char ret_path[static PATH_MAX], struct conf_error *ret_error);
