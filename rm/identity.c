#include "rm/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 64

static struct identity identity_read(const char *path)
{
    struct identity identity = {.rm_id = 0};
    char line[LINE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return identity;
    ssize_t length = read(fd, line, sizeof(line) - 1);
    close(fd);
    line[length > 0 ? length : 0] = '\0';
    if (sscanf(line, "%16" SCNx64 " %" SCNu64, &identity.rm_id, &identity.epoch) != 2)
        identity = (struct identity){.rm_id = 0};
    return identity;
}

/* Written beside and renamed, so that a crash leaves the old one or the new one. */
static int identity_write(const char *path, const struct identity *identity)
{
    char line[LINE_BYTES];
    char beside[PATH_MAX];
    int length = snprintf(line, sizeof(line), "%016" PRIx64 " %" PRIu64 "\n", identity->rm_id, identity->epoch);
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return -ENAMETOOLONG;
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = 0;
    if (write(fd, line, (size_t)length) != length || fsync(fd) < 0)
        error = errno ? -errno : -EIO;
    close(fd);
    if (error == 0 && rename(beside, path) < 0)
        error = -errno;
    return error;
}

int identity_take(const char *folder, uint64_t fresh_id, uint64_t now_ms, struct identity *ret_identity,
                  struct conf_error *ret_error)
{
    char path[PATH_MAX];
    int error = 0;
    if (snprintf(path, sizeof(path), "%s/identity", folder) >= (int)sizeof(path))
        error = -ENAMETOOLONG;
    struct identity identity = error == 0 ? identity_read(path) : (struct identity){.rm_id = 0};
    if (identity.rm_id == 0)
        identity.rm_id = fresh_id;
    identity.epoch = now_ms > identity.epoch ? now_ms : identity.epoch + 1;
    if (error == 0)
        error = identity_write(path, &identity);
    if (error < 0) {
        conf_error_set(ret_error, "cannot write %s: %s; choose another --state-dir", path, strerror(-error));
        return error;
    }
    *ret_identity = identity;
    return 0;
}
