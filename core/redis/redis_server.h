/* redis_server - a private redis-server, started as a child on a unix socket in a folder of its owner, kept alive and stopped with it.
 *
 * It keeps what it is told (append-only file, synchronised every second) and listens on nothing but the socket. It dies with its
 * owner, however the owner ends (PR_SET_PDEATHSIG). A server left over on the socket is taken over as it is: it holds the same
 * data, and it is stopped later like one of our own. One that ends by itself is started again, with back-off.
 * Thread: the loop's, which must be the thread that called redis_server_new (the death signal is the thread's).
 * Blocks: redis_server_new, until the child's exec (milliseconds); redis_server_free, up to the time it is given. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/io/loop.h"
#include "core/redis/redis_target.h"

#define REDIS_SERVER_REASON_BYTES 256

struct redis_server;

struct redis_server_config {
    struct loop *loop;
    const char *folder; /* absolute, since redis-server goes there; copied; must exist and be writable */
    void (*on_started)(void *ctx); /* also after a restart; not from within redis_server_new */
    void (*on_ended)(void *ctx, const char *reason); /* it ended by itself, its log's last line; it will be started again */
    void *ctx;
    uint64_t seed; /* of the jitter between attempts */
    char *reason; /* NULL, or REDIS_SERVER_REASON_BYTES: why redis_server_new failed, and what to do */
};

/* -ENOENT: redis-server is not installed. -ENAMETOOLONG: the folder's path is too long for a socket. -EACCES, -ENOMEM, … */
NODISCARD int redis_server_new(const struct redis_server_config *config, struct redis_server **ret_server);

/* Where it listens. */
const struct redis_target *redis_server_target(const struct redis_server *server);

/* 0 while it is not running. */
pid_t redis_server_pid(const struct redis_server *server);

/* Stops it (SIGTERM, so that it saves; SIGKILL after limit_ns) and frees. NULL is a no-op. */
void redis_server_free(struct redis_server *server, uint64_t limit_ns);
