/* What a dispatcher is asked, and what it answers.
 *
 * Most replies are like the one before: the same header, boot ID and version, and nodes that have been named already. Those are compared
 * with it; every other one is decoded in whole, and becomes the one to compare with. */
#include <errno.h>

#include "bench/load/engine_internal.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/wire/address_path.h"
#include "core/wire/error.h"
#include "core/wire/service.h"

#define USHER_ID_OFFSET (FRAME_HEADER_BYTES - sizeof(uint64_t)) /* the header's last field */
#define USHER_COUNT_OFFSET 30u /* in ADDRESS */
_Static_assert(ENGINE_KNOWN_BYTES == ADDRESS_REPLY_BYTES_MIN, "all of an ADDRESS but its entries is known");

static int usher_request_write(const struct engine_config *config, uint8_t *bytes, size_t capacity, struct conf_error *ret_error)
{
    /* As libusher does: over UDP room for IPv6 nodes, whatever the dispatcher is asked at, as long as so many fit the datagram; no
     * padding over TCP, where a reply may be longer than its request. */
    enum address_family family = ADDRESS_IPV6;
    if (config->pack * wire_address_bytes(config->count, ADDRESS_IPV6) > DATAGRAM_BYTES_MAX)
        family = ADDRESS_IPV4;
    struct wire_address_request request = {
        .service_id = service_id(config->service, strlen(config->service)),
        .count = config->count,
        .wait_ms = (uint32_t)((config->timeout_ns + NS_PER_MS - 1) / NS_PER_MS), /* as libusher does: later it is lost anyway */
    };
    uint32_t padded_length = config->stream ? 0 : wire_address_bytes(config->count, family);
    int length = wire_address_request_encode(&request, 0, padded_length, bytes, capacity);
    if (length < 0)
        conf_error_set(ret_error, "no request could be made (%s)", error_text(length));
    return length;
}

/* Entries whose nodes have been named before, none of them twice. */
static bool usher_entries_known(const struct node_set *nodes, const uint8_t *entries, size_t length, uint32_t count)
{
    int64_t index[ADDRESSES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = entries[0] == ADDRESS_IPV6 ? COMPACT_ADDRESS_BYTES_IPV6 : COMPACT_ADDRESS_BYTES_IPV4;
        index[i] = bytes <= length ? node_set_find(nodes, entries) : -1;
        if (UNLIKELY(index[i] < 0))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (UNLIKELY(index[j] == index[i]))
                return false;
        entries += bytes;
        length -= bytes;
    }
    return length == 0;
}

static inline bool usher_known(const struct engine *engine, const struct connection *connection, const uint8_t *bytes,
                               size_t length)
{
    if (UNLIKELY(connection->known_length == 0 || length < connection->known_length))
        return false;
    if (UNLIKELY(memcmp(bytes, connection->known, USHER_ID_OFFSET) != 0 ||
                 memcmp(bytes + FRAME_HEADER_BYTES, connection->known + FRAME_HEADER_BYTES,
                        ENGINE_KNOWN_BYTES - FRAME_HEADER_BYTES) != 0))
        return false;
    return usher_entries_known(&engine->nodes, bytes + ENGINE_KNOWN_BYTES, connection->known_length - ENGINE_KNOWN_BYTES,
                               connection->known[USHER_COUNT_OFFSET]);
}

/* NULL: it names nodes, all different and not more than were asked for. */
static const char *usher_address_complaint(struct engine *engine, const struct wire_address *address)
{
    uint32_t index[ADDRESSES_MAX];
    if (address->count == 0)
        return error_name(USHER_ETOOLARGE); /* no address fits into a reply as long as the request */
    if (address->count > engine->config->count)
        return error_name(USHER_EPROTOCOL);
    for (uint32_t i = 0; i < address->count; i++) {
        int error = node_set_add(&engine->nodes, &address->entries[i].address, &index[i]);
        if (error == -ENOENT)
            return "other-node";
        if (error < 0)
            return error_name(error);
        for (uint32_t j = 0; j < i; j++)
            if (index[j] == index[i])
                return "node-twice";
    }
    return NULL;
}

static const char *usher_complaint(struct engine *engine, uint32_t connection, const struct frame *frame, const uint8_t *bytes)
{
    struct wire_address address;
    struct wire_error told;
    enum refusal refusal;
    int error = USHER_EPROTOCOL;
    if (frame->type == FRAME_TYPE_ADDRESS) {
        error = wire_address_decode(frame, &address, &refusal);
        const char *complaint = error < 0 ? error_name(error) : usher_address_complaint(engine, &address);
        if (!complaint) {
            memcpy(engine->connections[connection].known, bytes, ENGINE_KNOWN_BYTES);
            engine->connections[connection].known_length = frame->length;
        }
        return complaint;
    }
    if (frame->type == FRAME_TYPE_ERROR) {
        error = wire_error_decode(frame, &told, &refusal);
        error = error < 0 ? error : wire_error_to_error(told.code);
    }
    return error_name(error);
}

static inline void usher_take_known(struct engine *engine, uint32_t connection, const uint8_t *bytes)
{
    uint64_t id;
    memcpy(&id, bytes + USHER_ID_OFFSET, sizeof(id));
    reply_take(engine, connection, be64toh(id), NULL);
}

static void usher_take_datagram(struct engine *engine, uint32_t index, const uint8_t *bytes, size_t length)
{
    const struct connection *connection = &engine->connections[index];
    struct frame frame;
    enum refusal refusal;
    for (size_t used = 0; used < length;) {
        if (LIKELY(usher_known(engine, connection, bytes + used, length - used))) {
            usher_take_known(engine, index, bytes + used);
            used += connection->known_length;
            continue;
        }
        int result = frame_decode_datagram(bytes + used, length - used, &frame, &refusal);
        if (result < 0) {
            tally_error(&engine->tally, error_name(result));
            return;
        }
        reply_take(engine, index, frame.request_id, usher_complaint(engine, index, &frame, bytes + used));
        used += frame.length;
    }
}

static ssize_t usher_take_stream(struct engine *engine, uint32_t index, const uint8_t *bytes, size_t length)
{
    const struct connection *connection = &engine->connections[index];
    struct frame frame;
    enum refusal refusal;
    for (size_t used = 0;;) {
        if (LIKELY(usher_known(engine, connection, bytes + used, length - used))) {
            usher_take_known(engine, index, bytes + used);
            used += connection->known_length;
            continue;
        }
        int result = frame_decode_stream(bytes + used, length - used, &frame, &refusal);
        if (result == -EAGAIN)
            return (ssize_t)used;
        if (result < 0)
            return result;
        reply_take(engine, index, frame.request_id, usher_complaint(engine, index, &frame, bytes + used));
        used += frame.length;
    }
}

const struct protocol protocol_usher = {
    .id_offset = USHER_ID_OFFSET,
    .id_bytes = sizeof(uint64_t),
    .outstanding_max = LEDGER_CAPACITY_MAX,
    .request_write = usher_request_write,
    .take_datagram = usher_take_datagram,
    .take_stream = usher_take_stream,
};

/* Every byte but the ID must be what was sent. */
static inline bool echo_sound(const struct engine *engine, const uint8_t *bytes)
{
    return memcmp(bytes, engine->requests, USHER_ID_OFFSET) == 0 &&
           memcmp(bytes + FRAME_HEADER_BYTES, engine->requests + FRAME_HEADER_BYTES,
                  engine->request_bytes - FRAME_HEADER_BYTES) == 0;
}

static ssize_t echo_take_stream(struct engine *engine, uint32_t connection, const uint8_t *bytes, size_t length)
{
    size_t used = 0;
    for (; used + engine->request_bytes <= length; used += engine->request_bytes) {
        if (UNLIKELY(!echo_sound(engine, bytes + used)))
            return USHER_EPROTOCOL;
        usher_take_known(engine, connection, bytes + used);
    }
    return (ssize_t)used;
}

static void echo_take_datagram(struct engine *engine, uint32_t connection, const uint8_t *bytes, size_t length)
{
    if (echo_take_stream(engine, connection, bytes, length) != (ssize_t)length)
        tally_error(&engine->tally, error_name(USHER_EPROTOCOL));
}

const struct protocol protocol_echo = {
    .id_offset = USHER_ID_OFFSET,
    .id_bytes = sizeof(uint64_t),
    .outstanding_max = LEDGER_CAPACITY_MAX,
    .request_write = usher_request_write,
    .take_datagram = echo_take_datagram,
    .take_stream = echo_take_stream,
};
