/* redis_login - as whom to speak to a Redis or a sentinel. The password stands in a file, never in options, which others can see, and is
 * read at each connecting: so it is nowhere else for long, and a new one counts without a restart.
 *
 * Thread: any. Memory: the caller's. Blocks for reading a small local file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/macros.h"

#define REDIS_USER_BYTES_MAX 64u
#define REDIS_PASSWORD_BYTES_MAX 512u
#define REDIS_LOGIN_REASON_BYTES 160u

struct redis_login {
    char user[REDIS_USER_BYTES_MAX + 1]; /* of its ACL; "": the default one, whose password requirepass sets */
    const char *password_file; /* NULL: no login. Stays valid */
    const char *option; /* static: what the options that say so begin with, "redis" or "sentinel" */
};

/* 1 to 64 visible characters without blanks. */
bool redis_user_valid(const char *name);

/* The file's only line, without its end. It must be a regular file of ours or root's that nobody else may read or write. -EPERM, -EINVAL or
 * as open(2) says, with the reason in words. */
NODISCARD int redis_password_read(const char *path, char ret_password[static REDIS_PASSWORD_BYTES_MAX + 1],
                                  char ret_reason[static REDIS_LOGIN_REASON_BYTES]);
