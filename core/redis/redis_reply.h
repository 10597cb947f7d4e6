/* redis_reply - what Redis answered, without its library's types: only core/redis knows hiredis.
 *
 * Functions may be asked of any reply: one of another kind gives nothing ("" , 0, NULL), so that a store that answers something else
 * than was asked can't bring a reader down. Thread: the loop's. Memory: hiredis'; valid during the call that brought it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"

struct redisReply; /* hiredis' own, never looked into outside core/redis */

bool redis_reply_is_error(const struct redisReply *reply);
bool redis_reply_is_text(const struct redisReply *reply);
bool redis_reply_is_number(const struct redisReply *reply);
bool redis_reply_is_list(const struct redisReply *reply);

/* Of a text or an error: NUL-terminated, though it may have NULs inside. ret_length may be NULL. */
const char *redis_reply_text(const struct redisReply *reply, size_t *ret_length);

int64_t redis_reply_number(const struct redisReply *reply);

/* Of a list. NULL: it has no such item. */
size_t redis_reply_count(const struct redisReply *reply);
const struct redisReply *redis_reply_item(const struct redisReply *reply, size_t index);

/* [IP, port], two texts, as sentinels name a server. -EINVAL: something else, or where no server can be (address_flaw). */
NODISCARD int redis_reply_address(const struct redisReply *reply, struct address *ret_address);
