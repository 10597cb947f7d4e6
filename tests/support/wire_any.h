/* wire_any - any frame of the protocol as its struct, for tests and fuzz targets: decoded to the last list entry, encoded again,
 * or printed as the key=value lines of tests/vectors.
 *
 * Thread: any. Memory: the frame's bytes must outlive it; wire_any_encode allocates while it runs. */
#pragma once

#include "core/base/buffer.h"
#include "core/wire/address_path.h"
#include "core/wire/directory.h"
#include "core/wire/error.h"
#include "core/wire/heartbeat.h"
#include "core/wire/job.h"

struct wire_any {
    struct frame frame;
    union {
        struct wire_address_request address_request;
        struct wire_address address;
        struct wire_location_request location_request;
        struct wire_location location;
        struct wire_job job;
        struct wire_result result;
        struct wire_busy busy;
        struct wire_error error;
        struct wire_register registration;
        struct wire_heartbeat heartbeat;
        struct wire_heartbeat_ack heartbeat_ack;
        struct wire_idle_token idle_token;
        struct wire_subscribe subscribe;
        struct wire_directory directory;
        struct wire_delta delta;
        struct wire_region_table region_table;
    };
    struct wire_nodes nodes; /* at the first entry */
    struct wire_regions regions;
};

/* What the message's decoder returns; its list is walked to the end. USHER_EPROTOCOL with REFUSAL_UNKNOWN_TYPE as well. */
NODISCARD int wire_any_decode(const struct frame *frame, struct wire_any *ret_any, enum refusal *ret_refusal);

/* What the message's encoder returns when it is given what was decoded, with the data behind the head. */
NODISCARD int wire_any_encode(const struct wire_any *any, uint8_t *bytes, size_t capacity);

/* As the protocol's document calls them: "REQUEST_ADDRESS", "unknown" for a type we don't know; "short_header", "none" for
 * REFUSAL_NONE. */
const char *wire_any_type_name(uint16_t type);
const char *wire_any_refusal_name(enum refusal refusal);

/* One key=value line for each field. -ENOMEM. */
NODISCARD int wire_any_print(const struct wire_any *any, struct buffer *text);
