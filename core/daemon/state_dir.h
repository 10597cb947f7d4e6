/* state_dir - the folder where daemons keep their state and admin sockets when --state-dir is not given; usherctl looks there
 * too.
 * Thread: any that does not change the environment. Nothing blocks. */
#pragma once

#include <limits.h>

#include "core/base/macros.h"

/* /var/lib/usher for root, else $XDG_STATE_HOME/usher or $HOME/.local/state/usher. -ENOENT: neither is set. -ENAMETOOLONG. */
NODISCARD int state_dir_default(char ret_path[static PATH_MAX]);
