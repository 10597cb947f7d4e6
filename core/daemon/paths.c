/* Where a daemon keeps what survives it, and where its admin socket stands. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/errors.h"
#include "core/daemon/internal.h"
#include "core/daemon/state_dir.h"

/* Makes all folders of a path; those already there stay as they are. ret_made: the last one was not there. */
static int make_folders(const char *path, bool *ret_made)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        *ret_made = mkdir(part, 0700) == 0;
        if (!*ret_made && errno != EEXIST)
            return -errno;
    }
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    return S_ISDIR(status.st_mode) ? 0 : -ENOTDIR;
}

/* Whether make_folders could make this absolute path, as far as can be seen without trying: the last part of it that is there is a
 * folder where we may write. */
static int folders_check(const char *path)
{
    char part[PATH_MAX];
    struct stat status;
    if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
        return -ENAMETOOLONG;
    while (stat(part, &status) < 0) {
        if (errno != ENOENT)
            return -errno;
        char *slash = strrchr(part, '/');
        slash[slash == part] = '\0'; /* the root keeps its slash, and is always there */
    }
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    return access(part, W_OK | X_OK) < 0 ? -errno : 0;
}

/* Programs that we start work in folders of their own, where a relative path would mean something else. */
static int path_make_absolute(char path[static PATH_MAX])
{
    char here[PATH_MAX];
    char given[PATH_MAX];
    if (path[0] == '/')
        return 0;
    if (!getcwd(here, sizeof(here)))
        return -errno;
    snprintf(given, sizeof(given), "%s", path);
    return snprintf(path, PATH_MAX, "%s/%s", here, given) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The folder that daemons share. */
static int find_shared(const struct daemon *daemon, char path[static PATH_MAX], struct conf_error *ret_error)
{
    int error = daemon->own->state_dir ? (snprintf(path, PATH_MAX, "%s", daemon->own->state_dir) < PATH_MAX ? 0 : -ENAMETOOLONG)
                                       : state_dir_default(path);
    if (error == 0)
        error = path_make_absolute(path);
    if (error == -ENOENT)
        conf_error_set(ret_error, "no folder for state: neither $XDG_STATE_HOME nor $HOME is set; give one with --state-dir");
    else if (error == -ENAMETOOLONG)
        conf_error_set(ret_error, "the path of --state-dir is too long; choose a shorter one");
    else if (error < 0)
        conf_error_set(ret_error, "a relative --state-dir needs a working directory: %s; give it from / on", error_text(error));
    return error;
}

/* "usher-worker-7500", and the IP behind it where several daemons of a machine may have the same port. */
static void print_identity(const struct daemon *daemon, char *text, size_t capacity)
{
    char address[ADDRESS_TEXT_BYTES];
    const struct address *listen = &daemon->listen;
    struct address usual = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    struct address usual_6 = {.family = ADDRESS_IPV6, .ip = {[15] = 1}};
    usual.port = usual_6.port = listen->port;
    const char *name = daemon->program->conf->name;
    if (listen->port == 0) {
        snprintf(text, capacity, "%s-pid%d", name, (int)getpid());
        return;
    }
    if (address_equal(listen, &usual) || address_equal(listen, &usual_6) || address_is_wildcard(listen)) {
        snprintf(text, capacity, "%s-%u", name, listen->port);
        return;
    }
    address_format(listen, address);
    *strrchr(address, ':') = '\0';
    snprintf(text, capacity, "%s-%u-%s", name, listen->port, address);
}

static int find_admin(struct daemon *daemon, const char *shared, const char *identity, struct conf_error *ret_error)
{
    int length = daemon->own->admin ? snprintf(daemon->admin_path, sizeof(daemon->admin_path), "%s", daemon->own->admin)
                                    : snprintf(daemon->admin_path, sizeof(daemon->admin_path), "%s/%s.sock", shared, identity);
    if (length < (int)sizeof(daemon->admin_path))
        return 0;
    conf_error_set(ret_error, "the admin socket's path has %d bytes and %zu are allowed: give a shorter one with --admin", length,
                   sizeof(daemon->admin_path) - 1);
    return -ENAMETOOLONG;
}

/* Fills state_dir and admin_path; makes nothing. */
static int find_paths(struct daemon *daemon, struct conf_error *ret_error)
{
    char shared[PATH_MAX], identity[128];
    int error = find_shared(daemon, shared, ret_error);
    if (error < 0)
        return error;
    print_identity(daemon, identity, sizeof(identity));
    if (snprintf(daemon->state_dir, sizeof(daemon->state_dir), "%s/%s", shared, identity) >= (int)sizeof(daemon->state_dir)) {
        conf_error_set(ret_error, "the path of --state-dir is too long; choose a shorter one");
        return -ENAMETOOLONG;
    }
    return find_admin(daemon, shared, identity, ret_error);
}

static int fail_folder(const struct daemon *daemon, int error, struct conf_error *ret_error)
{
    conf_error_set(ret_error, "cannot use the folder %.400s: %s; give another one with --state-dir", daemon->state_dir,
                   error_text(error));
    return error;
}

int daemon_check_paths(struct daemon *daemon, struct conf_error *ret_error)
{
    int error = find_paths(daemon, ret_error);
    if (error < 0)
        return error;
    error = folders_check(daemon->state_dir);
    return error < 0 ? fail_folder(daemon, error, ret_error) : 0;
}

int daemon_make_paths(struct daemon *daemon, struct conf_error *ret_error)
{
    int error = find_paths(daemon, ret_error);
    if (error < 0)
        return error;
    error = make_folders(daemon->state_dir, &daemon->state_made);
    if (error == 0 && access(daemon->state_dir, W_OK) < 0)
        error = -errno;
    if (error < 0)
        return fail_folder(daemon, error, ret_error);
    daemon->state_temporary = daemon->listen.port == 0; /* named after the process: nobody finds it again */
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path) < 0 ? -1 : 0;
}

void daemon_leave_paths(struct daemon *daemon, bool started)
{
    if (daemon->state_temporary)
        (void)nftw(daemon->state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    else if (daemon->state_made && !started)
        (void)rmdir(daemon->state_dir); /* unless something is in it that the next try finds again */
}
