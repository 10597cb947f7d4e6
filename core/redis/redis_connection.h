/* redis_connection - one connection to a Redis server, kept up: calls without waiting, deadlines, reconnecting with back-off.
 * With sentinels, the server is whichever of them is the master: they are asked before each attempt, and while connected whether it
 * still is; a server that does not call itself the master, or refuses to be written to, is left. Where the target has a login, it is sent
 * first.
 *
 * Invariant: every call that was taken is answered exactly once, in the order of the calls: with its reply, or with NULL when the
 * connection broke (whether the command was carried out is then unknown). At most REDIS_CALLS_MAX calls wait for an answer, so
 * that a stopped server grows no memory. A server that leaves the oldest call unanswered for call_deadline_ns counts as lost.
 * Thread: the loop's. Memory: redis_connection_new … redis_connection_free. Nothing blocks.
 * Works with hiredis 0.14 (Debian 12), whose asynchronous part has no time limits of its own, and 1.2 (Debian 13). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "core/redis/redis_command.h"
#include "core/redis/redis_reply.h"
#include "core/redis/redis_target.h"

#define REDIS_CALLS_MAX 64u
#define REDIS_REASON_BYTES 160

struct redis_connection;

/* reply: valid during the call, may be an error reply; NULL: the connection broke. Must not free the connection. */
typedef void redis_on_reply(void *ctx, const struct redisReply *reply);

struct redis_connection_config {
    struct loop *loop;
    struct redis_target target; /* anything but embedded */
    uint64_t call_deadline_ns;
    void (*on_up)(void *ctx); /* connected, and the server answers */
    void (*on_down)(void *ctx, const char *reason); /* after an on_up; its calls have been answered with NULL */
    void *ctx;
    uint64_t seed; /* of the jitter between attempts */
};

/* Begins to connect. -ENOMEM. */
NODISCARD int redis_connection_new(const struct redis_connection_config *config, struct redis_connection **ret_connection);

/* Calls not answered are answered with NULL; on_down is not called. NULL is a no-op. */
void redis_connection_free(struct redis_connection *connection);

/* Takes a command; on_reply NULL: nobody wants to know. -ENOTCONN: not up. -ENOBUFS: REDIS_CALLS_MAX are unanswered. -ENOMEM. */
NODISCARD int redis_connection_call(struct redis_connection *connection, struct redis_command *command, redis_on_reply *on_reply,
                                    void *ctx);

bool redis_connection_is_up(const struct redis_connection *connection);
uint32_t redis_connection_calls(const struct redis_connection *connection); /* unanswered */

/* The server that it is connected to, or tried last; of kind REDIS_TARGET_SENTINEL while the sentinels have named none. */
const struct redis_target *redis_connection_server(const struct redis_connection *connection);

/* Why it is not up, or was not before; "" when it always was. */
const char *redis_connection_reason(const struct redis_connection *connection);

/* Tries to connect now, if it is waiting to do so: the server has just been started. */
void redis_connection_hurry(struct redis_connection *connection);
