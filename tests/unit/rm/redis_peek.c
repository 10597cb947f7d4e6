#include "tests/unit/rm/redis_peek.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "core/base/macros.h"

double redis_peek_number(const char *path, const char *command)
{
    const struct timeval limit = {.tv_sec = 1};
    double number = -1;
    redisContext *context = redisConnectUnixWithTimeout(path, limit);
    redisReply *reply = NULL;
    if (context && context->err == 0 && redisSetTimeout(context, limit) == REDIS_OK)
        reply = redisCommand(context, command);
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        number = (double)reply->integer;
    else if (reply && reply->type == REDIS_REPLY_STRING)
        number = strtod(reply->str, NULL);
    else if (reply && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0)
        number = 0;
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return number;
}

int64_t redis_peek_count(const char *path, const char *command)
{
    return (int64_t)redis_peek_number(path, command);
}

void redis_peek_fill(const char *path, const char *key, uint32_t count, uint64_t score, uint32_t per_score)
{
    redisContext *context = redisConnectUnix(path);
    for (uint32_t i = 0; context && i < count; i++)
        redisAppendCommand(context, "ZADD %s %llu 10.%u.%u.%u:7500", key, (unsigned long long)score + i / per_score, i >> 16,
                           i >> 8 & 255, i & 255);
    for (uint32_t i = 0; context && i < count; i++) {
        void *reply = NULL;
        if (redisGetReply(context, &reply) == REDIS_OK)
            freeReplyObject(reply);
    }
    if (context)
        redisFree(context);
}

void redis_peek_clean(const char *folder)
{
    static const char *const files[] = {"appendonlydir/appendonly.aof.1.base.rdb",
                                        "appendonlydir/appendonly.aof.1.incr.aof",
                                        "appendonlydir/appendonly.aof.manifest",
                                        "appendonlydir",
                                        "redis.log",
                                        "redis.sock",
                                        ""};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        remove(path);
    }
}
