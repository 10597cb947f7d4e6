#include "core/daemon/state_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int state_dir_default(char ret_path[static PATH_MAX])
{
    const char *state_home = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (geteuid() == 0)
        length = snprintf(ret_path, PATH_MAX, "/var/lib/usher");
    else if (state_home && state_home[0] == '/')
        length = snprintf(ret_path, PATH_MAX, "%s/usher", state_home);
    else if (home && home[0] == '/')
        length = snprintf(ret_path, PATH_MAX, "%s/.local/state/usher", home);
    else
        return -ENOENT;
    return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}
