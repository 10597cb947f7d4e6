#include "tools/usherctl/find.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "core/base/exit_code.h"
#include "core/daemon/state_dir.h"
#include "tools/usherctl/connection.h"

/* One name in; what does not fit into the line any more is left out. */
static void list_add(struct conf_error *list, const char *path)
{
    struct conf_error longer;
    conf_error_set(&longer, "%.450s%s%s", list->text, list->text[0] ? " " : "", path);
    *list = longer;
}

static int choose(const glob_t *found, const char *folder, char ret_path[static PATH_MAX], struct conf_error *ret_error)
{
    struct conf_error list = {.text = ""};
    const char *alive = NULL;
    size_t count = 0;
    for (size_t i = 0; i < found->gl_pathc; i++) {
        if (!connection_is_alive(found->gl_pathv[i]))
            continue;
        alive = found->gl_pathv[i];
        list_add(&list, alive);
        count++;
    }
    if (count == 1) {
        snprintf(ret_path, PATH_MAX, "%s", alive);
        return EXIT_CODE_OK;
    }
    if (count == 0) {
        conf_error_set(ret_error, "no running daemon has its admin socket in %.400s: give it with -s", folder);
        return EXIT_CODE_UNREACHABLE;
    }
    conf_error_set(ret_error, "%zu daemons run here, choose one with -s: %s", count, list.text);
    return EXIT_CODE_USAGE;
}

int find_socket(const char *state_dir, char ret_path[static PATH_MAX], struct conf_error *ret_error)
{
    char folder[PATH_MAX], pattern[PATH_MAX + 16];
    glob_t found;
    if (state_dir)
        snprintf(folder, sizeof(folder), "%s", state_dir);
    else if (state_dir_default(folder) < 0) {
        conf_error_set(ret_error, "neither $XDG_STATE_HOME nor $HOME is set: give a daemon's admin socket with -s");
        return EXIT_CODE_USAGE;
    }
    snprintf(pattern, sizeof(pattern), "%s/usher-*.sock", folder);
    int result = glob(pattern, 0, NULL, &found);
    if (result != 0) {
        conf_error_set(ret_error, "no daemon has its admin socket in %.400s: is one running? Give its socket with -s", folder);
        return EXIT_CODE_UNREACHABLE;
    }
    int code = choose(&found, folder, ret_path, ret_error);
    globfree(&found);
    return code;
}
