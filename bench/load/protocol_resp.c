/* A Redis command (RESP2 and what RESP3 adds) and its reply, over TCP. Replies have no ID: they come in the order of the commands. */
#include <errno.h>
#include <stdio.h>

#include "bench/load/engine_internal.h"
#include "core/base/errors.h"

#define RESP_BLANKS " \t"
#define RESP_LINE_BYTES_MAX 24u /* of a line that is a number */
#define RESP_NUMBER_MAX (INT64_C(1) << 30)

/* Appends one word as a bulk string; false: no room. */
static bool resp_put(uint8_t *bytes, size_t capacity, size_t *used, const char *word, size_t length)
{
    char head[RESP_LINE_BYTES_MAX];
    size_t head_bytes = (size_t)snprintf(head, sizeof(head), "$%zu\r\n", length);
    if (*used + head_bytes + length + 2 > capacity)
        return false;
    memcpy(bytes + *used, head, head_bytes);
    memcpy(bytes + *used + head_bytes, word, length);
    *used += head_bytes + length;
    bytes[(*used)++] = '\r';
    bytes[(*used)++] = '\n';
    return true;
}

static uint32_t resp_words(const char *command)
{
    uint32_t words = 0;
    for (command += strspn(command, RESP_BLANKS); *command; command += strspn(command, RESP_BLANKS)) {
        command += strcspn(command, RESP_BLANKS);
        words++;
    }
    return words;
}

static int resp_request_write(const struct engine_config *config, uint8_t *bytes, size_t capacity, struct conf_error *ret_error)
{
    const char *next = config->command + strspn(config->command, RESP_BLANKS);
    uint32_t words = resp_words(next);
    if (words == 0) {
        conf_error_set(ret_error, "--command is empty: give one such as 'GET key'");
        return -EINVAL;
    }
    if (capacity < RESP_LINE_BYTES_MAX)
        return -EMSGSIZE;
    size_t used = (size_t)snprintf((char *)bytes, RESP_LINE_BYTES_MAX, "*%u\r\n", words);
    while (*next) {
        size_t length = strcspn(next, RESP_BLANKS);
        if (!resp_put(bytes, capacity, &used, next, length))
            return -EMSGSIZE;
        next += length;
        next += strspn(next, RESP_BLANKS);
    }
    return (int)used;
}

/* The number behind a type's letter. Where the line ends, 0 when it has not come whole, or USHER_EPROTOCOL. */
static ssize_t resp_number(const uint8_t *bytes, size_t length, int64_t *ret_number)
{
    bool negative = length > 1 && bytes[1] == '-';
    int64_t number = 0;
    for (size_t i = negative ? 2 : 1; i < length; i++) {
        if (bytes[i] == '\r')
            break;
        number = number * 10 + (bytes[i] - '0');
        if (bytes[i] < '0' || bytes[i] > '9' || number > RESP_NUMBER_MAX)
            return USHER_EPROTOCOL;
    }
    const uint8_t *end = memchr(bytes, '\n', length < RESP_LINE_BYTES_MAX ? length : RESP_LINE_BYTES_MAX);
    if (!end)
        return length < RESP_LINE_BYTES_MAX ? 0 : USHER_EPROTOCOL;
    *ret_number = negative ? -number : number;
    return end + 1 - bytes;
}

/* The length of one value, without those inside, whose number is added to *values. 0: it has not come whole. */
static ssize_t resp_value(const uint8_t *bytes, size_t length, uint64_t *values)
{
    int64_t number = 0;
    if (length == 0)
        return 0;
    switch (bytes[0]) {
    case '+':
    case '-':
    case ':':
    case '_':
    case ',':
    case '#':
    case '(': {
        const uint8_t *end = memchr(bytes, '\n', length);
        return end ? end + 1 - bytes : 0;
    }
    case '$':
    case '=':
    case '!': {
        ssize_t head = resp_number(bytes, length, &number);
        if (head <= 0 || number < 0)
            return head;
        size_t whole = (size_t)head + (size_t)number + 2;
        return whole <= length ? (ssize_t)whole : 0;
    }
    case '*':
    case '~':
    case '>':
    case '%': {
        ssize_t head = resp_number(bytes, length, &number);
        if (head > 0 && number > 0)
            *values += (uint64_t)number * (bytes[0] == '%' ? 2 : 1);
        return head;
    }
    default: return USHER_EPROTOCOL;
    }
}

/* The length of a whole reply; 0: it has not come whole. */
static ssize_t resp_reply(const uint8_t *bytes, size_t length)
{
    size_t used = 0;
    for (uint64_t values = 1; values > 0; values--) {
        ssize_t one = resp_value(bytes + used, length - used, &values);
        if (one <= 0)
            return one;
        used += (size_t)one;
    }
    return (ssize_t)used;
}

static const char *resp_complaint(const uint8_t *bytes)
{
    if (bytes[0] == '-' || bytes[0] == '!')
        return "resp-error";
    return bytes[0] == '_' || ((bytes[0] == '$' || bytes[0] == '*') && bytes[1] == '-') ? "resp-nil" : NULL;
}

/* Short replies are compared with the one before. */
static ssize_t resp_take_stream(struct engine *engine, uint32_t index, const uint8_t *bytes, size_t length)
{
    struct connection *connection = &engine->connections[index];
    for (size_t used = 0;;) {
        const uint8_t *at = bytes + used;
        size_t left = length - used;
        if (LIKELY(connection->known_length > 0 && left >= connection->known_length &&
                   memcmp(at, connection->known, connection->known_length) == 0)) {
            reply_take(engine, index, request_oldest(engine, index), NULL);
            used += connection->known_length;
            continue;
        }
        ssize_t reply = resp_reply(at, left);
        if (reply <= 0)
            return reply < 0 ? reply : (ssize_t)used;
        const char *complaint = resp_complaint(at);
        reply_take(engine, index, request_oldest(engine, index), complaint);
        if (!complaint && (size_t)reply <= ENGINE_KNOWN_BYTES) {
            memcpy(connection->known, at, (size_t)reply);
            connection->known_length = (uint32_t)reply;
        }
        used += (size_t)reply;
    }
}

const struct protocol protocol_resp = {
    .id_offset = 0,
    .id_bytes = 0,
    .outstanding_max = LEDGER_CAPACITY_MAX,
    .request_write = resp_request_write,
    .take_stream = resp_take_stream,
};
