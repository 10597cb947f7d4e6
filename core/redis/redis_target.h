/* redis_target - which Redis to use, as the option --redis says it.
 * Thread: any. Nothing blocks or allocates. */
#pragma once

#include <sys/un.h>

#include "core/base/address.h"
#include "core/redis/redis_login.h"

#define REDIS_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)
#define REDIS_NAME_BYTES_MAX 63
#define REDIS_SENTINELS_MAX 8u
#define REDIS_TARGET_TEXT_BYTES 512

enum redis_target_kind {
    REDIS_TARGET_EMBEDDED, /* a private server of our own */
    REDIS_TARGET_UNIX,
    REDIS_TARGET_TCP,
    REDIS_TARGET_SENTINEL, /* whichever server the sentinels call the master */
};

struct redis_target {
    enum redis_target_kind kind;
    char path[REDIS_PATH_BYTES]; /* REDIS_TARGET_UNIX */
    struct address address; /* REDIS_TARGET_TCP */
    char name[REDIS_NAME_BYTES_MAX + 1]; /* REDIS_TARGET_SENTINEL: what these call the master and its replicas */
    struct address sentinels[REDIS_SENTINELS_MAX];
    uint32_t sentinel_count;
    struct redis_login login; /* at the server, also at one that sentinels name */
    struct redis_login sentinel_login;
};

/* "embedded", "unix:PATH", "tcp:HOST:PORT", "sentinel:NAME@HOST:PORT,HOST:PORT"; HOST is an IP address or localhost. -EINVAL: not one of
 * these. -ENAMETOOLONG: the path is longer than a socket's may be. Logins: without a password. */
NODISCARD int redis_target_parse(const char *text, struct redis_target *ret_target);

/* The same form back; returns text. */
const char *redis_target_format(const struct redis_target *target, char text[static REDIS_TARGET_TEXT_BYTES]);
