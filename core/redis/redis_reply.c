#include "core/redis/redis_reply.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

bool redis_reply_is_error(const struct redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ERROR;
}

bool redis_reply_is_text(const struct redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_STRING;
}

bool redis_reply_is_number(const struct redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_INTEGER;
}

bool redis_reply_is_list(const struct redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ARRAY;
}

const char *redis_reply_text(const struct redisReply *reply, size_t *ret_length)
{
    bool has_text = redis_reply_is_text(reply) || redis_reply_is_error(reply);
    if (ret_length)
        *ret_length = has_text ? (size_t)reply->len : 0;
    return has_text ? reply->str : "";
}

int64_t redis_reply_number(const struct redisReply *reply)
{
    return redis_reply_is_number(reply) ? reply->integer : 0;
}

size_t redis_reply_count(const struct redisReply *reply)
{
    return redis_reply_is_list(reply) ? reply->elements : 0;
}

const struct redisReply *redis_reply_item(const struct redisReply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? reply->element[index] : NULL;
}

int redis_reply_address(const struct redisReply *reply, struct address *ret_address)
{
    struct address address;
    char text[ADDRESS_TEXT_BYTES];
    const char *ip = redis_reply_text(redis_reply_item(reply, 0), NULL);
    const char *port = redis_reply_text(redis_reply_item(reply, 1), NULL);
    bool six = strchr(ip, ':') != NULL;
    int length = snprintf(text, sizeof(text), "%s%s%s:%s", six ? "[" : "", ip, six ? "]" : "", port);
    if (redis_reply_count(reply) != 2 || length >= (int)sizeof(text) || address_parse(text, &address) < 0 ||
        address_flaw(&address))
        return -EINVAL;
    *ret_address = address;
    return 0;
}
