/* Any bytes as JSON that a node, or an rm, sends over HTTP: what is taken may go out as a datagram, and comes back the same from JSON made
 * of it. */
#include <string.h>

#include "core/api/heartbeat_json.h"
#include "core/base/check.h"
#include "core/wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size);

static const struct address node = {.family = ADDRESS_IPV4, .ip = {10, 0, 0, 1}, .port = 80};

union message {
    struct wire_register registration;
    struct wire_heartbeat heartbeat;
    struct wire_heartbeat_ack ack;
};

struct kind {
    int (*from_json)(const json_t *value, union message *ret_message, char ret_text[static HEARTBEAT_JSON_TEXT_BYTES]);
    json_t *(*to_json)(const union message *message);
    int (*encode)(const union message *message, uint8_t *bytes, size_t capacity);
};

static int register_read(const json_t *value, union message *ret_message, char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    return register_from_json(value, &node, &ret_message->registration, ret_text);
}

static json_t *register_write(const union message *message)
{
    return register_to_json(&message->registration);
}

static int register_encode(const union message *message, uint8_t *bytes, size_t capacity)
{
    return wire_register_encode(&message->registration, 1, 0, bytes, capacity);
}

static int heartbeat_read(const json_t *value, union message *ret_message, char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    return heartbeat_from_json(value, &node, &ret_message->heartbeat, ret_text);
}

static json_t *heartbeat_write(const union message *message)
{
    return heartbeat_to_json(&message->heartbeat);
}

static int heartbeat_encode(const union message *message, uint8_t *bytes, size_t capacity)
{
    return wire_heartbeat_encode(&message->heartbeat, 1, 0, bytes, capacity);
}

static int ack_read(const json_t *value, union message *ret_message, char ret_text[static HEARTBEAT_JSON_TEXT_BYTES])
{
    return heartbeat_ack_from_json(value, &ret_message->ack, ret_text);
}

static json_t *ack_write(const union message *message)
{
    return heartbeat_ack_to_json(&message->ack);
}

/* A datagram may not hold all dispatchers. */
static int ack_encode(const union message *message, uint8_t *bytes, size_t capacity)
{
    for (uint8_t i = 0; i < message->ack.dispatcher_count; i++)
        CHECK(wire_address_usable(&message->ack.dispatchers[i].address) && message->ack.dispatchers[i].boot_id != 0);
    return wire_heartbeat_ack_encode(&message->ack, 1, bytes, capacity);
}

static void kind_try(const struct kind *kind, const json_t *value)
{
    static union message message, again;
    static uint8_t bytes[DATAGRAM_BYTES_MAX], bytes_again[DATAGRAM_BYTES_MAX];
    char text[HEARTBEAT_JSON_TEXT_BYTES] = "";
    if (kind->from_json(value, &message, text) < 0) {
        CHECK(text[0] != '\0' && memchr(text, '\0', sizeof(text)));
        return;
    }
    int length = kind->encode(&message, bytes, sizeof(bytes));
    CHECK(length > 0);
    json_t *made = kind->to_json(&message);
    CHECK(made && kind->from_json(made, &again, text) == 0);
    CHECK(kind->encode(&again, bytes_again, sizeof(bytes_again)) == length && memcmp(bytes, bytes_again, (size_t)length) == 0);
    json_decref(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    static const struct kind kinds[] = {
        {register_read, register_write, register_encode},
        {heartbeat_read, heartbeat_write, heartbeat_encode},
        {ack_read, ack_write, ack_encode},
    };
    json_t *value = json_loadb((const char *)data, data_size, JSON_REJECT_DUPLICATES, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        kind_try(&kinds[i], value);
    (void)json_is_of_node(value);
    json_decref(value);
    return 0;
}
