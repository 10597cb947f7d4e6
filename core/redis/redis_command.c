#include "core/redis/redis_command.h"

#include <stdio.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/decimal.h"

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
    char digits[DECIMAL_TEXT_BYTES];
    size_t digit_count = decimal_format(length, digits);
    if (command->error == 0)
        command->error = buffer_reserve(&command->buffer, digit_count + length + 5);
    if (command->error < 0)
        return;
    CHECK(buffer_append(&command->buffer, "$", 1) == 0);
    CHECK(buffer_append(&command->buffer, digits, digit_count) == 0);
    CHECK(buffer_append(&command->buffer, "\r\n", 2) == 0);
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
    char text[1 + DECIMAL_TEXT_BYTES] = "-";
    size_t sign = number < 0;
    uint64_t magnitude = sign ? UINT64_C(0) - (uint64_t)number : (uint64_t)number;
    size_t length = decimal_format(magnitude, text + sign);
    redis_command_add_bytes(command, text, sign + length);
}

void redis_command_add_millionths(struct redis_command *command, uint64_t millionths)
{
    char text[DECIMAL_TEXT_BYTES];
    redis_command_add_bytes(command, text, decimal_format_millionths(millionths, text));
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
