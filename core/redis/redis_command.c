#include "core/redis/redis_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/check.h"

/* Room in front for "*<count>\r\n": the count is known at the end, and Redis takes no leading zeros. */
#define COUNT_ROOM 16u

void redis_command_done(struct redis_command *command)
{
    buffer_done(&command->buffer);
    *command = (struct redis_command){.word_count = 0};
}

void redis_command_begin(struct redis_command *command, const char *name)
{
    static const uint8_t room[COUNT_ROOM] = {0};
    command->buffer.length = 0;
    command->word_count = 0;
    command->error = buffer_append(&command->buffer, room, sizeof(room));
    redis_command_add(command, name);
}

void redis_command_add_bytes(struct redis_command *command, const void *bytes, size_t length)
{
    char head[32];
    int head_length = snprintf(head, sizeof(head), "$%zu\r\n", length);
    if (command->error == 0)
        command->error = buffer_reserve(&command->buffer, (size_t)head_length + length + 2);
    if (command->error < 0)
        return;
    CHECK(buffer_append(&command->buffer, head, (size_t)head_length) == 0);
    CHECK(buffer_append(&command->buffer, bytes, length) == 0);
    CHECK(buffer_append(&command->buffer, "\r\n", 2) == 0);
    command->word_count++;
}

void redis_command_add(struct redis_command *command, const char *text)
{
    redis_command_add_bytes(command, text, strlen(text));
}

void redis_command_add_number(struct redis_command *command, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    redis_command_add(command, text);
}

void redis_command_add_float(struct redis_command *command, double number)
{
    char text[40];
    snprintf(text, sizeof(text), "%.9g", number);
    redis_command_add(command, text);
}

int redis_command_finish(struct redis_command *command, const uint8_t **ret_bytes, size_t *ret_length)
{
    char count[COUNT_ROOM];
    if (command->error < 0)
        return command->error;
    int length = snprintf(count, sizeof(count), "*%u\r\n", command->word_count);
    CHECK(length > 0 && (size_t)length < sizeof(count));
    uint8_t *first = command->buffer.bytes + COUNT_ROOM - length;
    memcpy(first, count, (size_t)length);
    *ret_bytes = first;
    *ret_length = command->buffer.length - COUNT_ROOM + (size_t)length;
    return 0;
}
