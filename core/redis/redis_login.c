#include "core/redis/redis_login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool redis_user_valid(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] == 0x7f)
            return false;
    return length > 0 && length <= REDIS_USER_BYTES_MAX;
}

static int refuse(int error, const char *path, const char *why, char reason[static REDIS_LOGIN_REASON_BYTES])
{
    snprintf(reason, REDIS_LOGIN_REASON_BYTES, "%.90s: %s", path, why);
    return error;
}

/* Who else could read it knows it. */
static int status_check(int fd, const char *path, char reason[static REDIS_LOGIN_REASON_BYTES])
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return refuse(-errno, path, strerror(errno), reason);
    if (!S_ISREG(status.st_mode))
        return refuse(-EINVAL, path, "not a regular file", reason);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return refuse(-EPERM, path, "it belongs to another user; chown it", reason);
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return refuse(-EPERM, path, "others may read it; chmod 600 it", reason);
    return 0;
}

int redis_password_read(const char *path, char ret_password[static REDIS_PASSWORD_BYTES_MAX + 1],
                        char ret_reason[static REDIS_LOGIN_REASON_BYTES])
{
    char text[REDIS_PASSWORD_BYTES_MAX + 3]; /* with the line's end, and one byte to see that it is too long */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(-errno, path, strerror(errno), ret_reason);
    int error = status_check(fd, path, ret_reason);
    ssize_t length = error < 0 ? 0 : read(fd, text, sizeof(text));
    if (length < 0)
        error = refuse(-errno, path, strerror(errno), ret_reason);
    close(fd);
    if (error < 0)
        return error;
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (length == 0)
        error = refuse(-EINVAL, path, "it is empty; write the password into it", ret_reason);
    else if (length > (ssize_t)REDIS_PASSWORD_BYTES_MAX)
        error = refuse(-EINVAL, path, "a password has at most 512 bytes", ret_reason);
    else if (memchr(text, '\n', (size_t)length) || memchr(text, '\r', (size_t)length) || memchr(text, '\0', (size_t)length))
        error = refuse(-EINVAL, path, "one line is expected in it, the password", ret_reason);
    if (error == 0) {
        memcpy(ret_password, text, (size_t)length);
        ret_password[length] = '\0';
    }
    explicit_bzero(text, sizeof(text));
    return error;
}
