/* heartbeat_json - REGISTER, HEARTBEAT and HEARTBEAT_ACK as JSON, field by field as PROTOCOL.md has them, for nodes that heartbeat over
 * HTTP and the rm that answers them (requirement N9). Their address is in the request's path, so it is in none of them.
 *
 * Numbers of 64 bits that count nothing (IDs) are texts of 16 hexadecimal digits: JSON's numbers are not made for them.
 * Thread: any. Memory: what is returned belongs to the caller. Nothing blocks. */
#pragma once

#include <jansson.h>

#include "core/base/macros.h"
#include "core/wire/heartbeat.h"

#define HEARTBEAT_JSON_TEXT_BYTES 200

/* NULL: out of memory. */
json_t *register_to_json(const struct wire_register *registration);
json_t *heartbeat_to_json(const struct wire_heartbeat *heartbeat);
json_t *heartbeat_ack_to_json(const struct wire_heartbeat_ack *ack);

/* Whether an object is one of the first two, and not what others than our nodes send. */
bool json_is_of_node(const json_t *value);

/* -EINVAL: a field is missing, unknown or of another type, or says what no datagram may say; `ret_text` says which. */
NODISCARD int register_from_json(const json_t *value, const struct address *node, struct wire_register *ret_registration,
                                 char ret_text[static HEARTBEAT_JSON_TEXT_BYTES]);
NODISCARD int heartbeat_from_json(const json_t *value, const struct address *node, struct wire_heartbeat *ret_heartbeat,
                                  char ret_text[static HEARTBEAT_JSON_TEXT_BYTES]);

/* Fields and flags that we don't know are passed over: the rm may be newer. What is taken may go out again in datagrams.
 * trailer.sequence is 0: over HTTP answers come in order. */
NODISCARD int heartbeat_ack_from_json(const json_t *value, struct wire_heartbeat_ack *ret_ack,
                                      char ret_text[static HEARTBEAT_JSON_TEXT_BYTES]);
