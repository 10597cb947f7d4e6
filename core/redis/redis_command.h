/* redis_command - one command in the form in which it is sent (RESP), built word by word.
 *
 * Failure is sticky: after running out of memory words are dropped, and redis_command_finish says so.
 * Thread: one owner. Memory: a growing buffer, kept over _begin for the next command; _done frees. Source: redis.io, "RESP". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"

struct redis_command {
    struct buffer buffer;
    uint32_t word_count;
    int error;
};

void redis_command_done(struct redis_command *command);

/* Forgets what was there and begins anew: redis_command_begin(&command, "ZADD"). */
void redis_command_begin(struct redis_command *command, const char *name);

void redis_command_add(struct redis_command *command, const char *text);
void redis_command_add_bytes(struct redis_command *command, const void *bytes, size_t length);
void redis_command_add_number(struct redis_command *command, int64_t number);

/* As a decimal fraction. */
void redis_command_add_millionths(struct redis_command *command, uint64_t millionths);

/* The bytes to send; they stay until the next _begin. -ENOMEM. */
NODISCARD int redis_command_finish(struct redis_command *command, const uint8_t **ret_bytes, size_t *ret_length);
