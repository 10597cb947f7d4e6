/* redis_target - which Redis to use, as the option --redis says it.
 * Thread: any. Nothing blocks or allocates. */
#pragma once

#include <sys/un.h>

#include "core/base/address.h"

#define REDIS_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)
#define REDIS_TARGET_TEXT_BYTES 160

enum redis_target_kind {
    REDIS_TARGET_EMBEDDED, /* a private server of our own */
    REDIS_TARGET_UNIX,
    REDIS_TARGET_TCP,
};

struct redis_target {
    enum redis_target_kind kind;
    char path[REDIS_PATH_BYTES]; /* REDIS_TARGET_UNIX */
    struct address address; /* REDIS_TARGET_TCP */
};

/* "embedded", "unix:PATH", "tcp:HOST:PORT"; HOST is an IP address or localhost. -EINVAL: not one of these. -ENAMETOOLONG: the path is
 * longer than a socket's may be. -ENOSYS: sentinel:, which is not built yet. */
NODISCARD int redis_target_parse(const char *text, struct redis_target *ret_target);

/* The same form back; returns text. */
const char *redis_target_format(const struct redis_target *target, char text[static REDIS_TARGET_TEXT_BYTES]);
