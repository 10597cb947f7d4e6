/* Requests: how long they are, and how they fare from being opened to their end. */
#include <errno.h>

#include "bench/load/engine_internal.h"
#include "core/base/errors.h"

#define ENGINE_SUPER_BYTES_MAX 65507u /* what UDP over IPv4 takes in one send */

const struct protocol *engine_protocol(const struct engine_config *config)
{
    if (config->echo)
        return &protocol_echo;
    return config->proto == ENGINE_DNS ? &protocol_dns : config->proto == ENGINE_RESP ? &protocol_resp : &protocol_usher;
}

static int engine_request_measure(const struct engine_config *config, struct conf_error *ret_error)
{
    static uint8_t bytes[ENGINE_SEND_BYTES];
    conf_error_set(ret_error, "the request is longer than %zu bytes: give a shorter one", sizeof(bytes));
    return engine_protocol(config)->request_write(config, bytes, sizeof(bytes), ret_error);
}

uint32_t engine_segments_fit(const struct engine_config *config)
{
    struct conf_error why;
    int length = engine_request_measure(config, &why);
    uint32_t fit = length > 0 ? ENGINE_SUPER_BYTES_MAX / (config->pack * (uint32_t)length) : ENGINE_SEGMENTS_MAX;
    return fit == 0 ? 1 : fit < ENGINE_SEGMENTS_MAX ? fit : ENGINE_SEGMENTS_MAX;
}

int engine_request_bytes(const struct engine_config *config, struct conf_error *ret_error)
{
    int length = engine_request_measure(config, ret_error);
    if (length < 0 || config->stream)
        return length;
    if ((uint32_t)length * config->pack > DATAGRAM_BYTES_MAX) {
        conf_error_set(ret_error, "--pack requests of that --count do not fit into a datagram of %u bytes: give less of either",
                       DATAGRAM_BYTES_MAX);
        return -EMSGSIZE;
    }
    if ((uint32_t)length * config->group > ENGINE_SUPER_BYTES_MAX) {
        conf_error_set(ret_error,
                       "--depth requests do not fit into a super-datagram of %u bytes: give %u at most, or a smaller --pack",
                       ENGINE_SUPER_BYTES_MAX, engine_segments_fit(config) * config->pack);
        return -EMSGSIZE;
    }
    return length;
}

static void request_append(struct engine *engine, struct connection *connection, uint32_t slot)
{
    engine->next[slot] = ENGINE_NO_SLOT;
    if (connection->first == ENGINE_NO_SLOT)
        connection->first = slot;
    else
        engine->next[connection->last] = slot;
    connection->last = slot;
}

uint64_t request_oldest(struct engine *engine, uint32_t index)
{
    struct connection *connection = &engine->connections[index];
    uint32_t slot = connection->first;
    if (slot == ENGINE_NO_SLOT)
        return 0;
    connection->first = engine->next[slot];
    return ledger_id(&engine->ledger, slot);
}

void requests_open(struct engine *engine, uint32_t index, uint64_t planned_ns, uint32_t first, uint32_t count)
{
    uint32_t stride = engine->request_bytes;
    uint8_t *at = engine->requests + (size_t)first * stride + engine->protocol->id_offset;
    engine->connections[index].outstanding += count;
    if (engine->services.count > 0)
        service_turn_write(&engine->services, engine->requests + (size_t)first * stride, stride, count);
    switch (engine->protocol->id_bytes) {
    case sizeof(uint64_t):
        for (uint32_t i = 0; i < count; i++, at += stride) {
            uint64_t id = htobe64(ledger_open(&engine->ledger, planned_ns, index));
            memcpy(at, &id, sizeof(id));
        }
        break;
    case sizeof(uint16_t):
        for (uint32_t i = 0; i < count; i++, at += stride) {
            uint16_t id = htobe16((uint16_t)ledger_open(&engine->ledger, planned_ns, index));
            memcpy(at, &id, sizeof(id));
        }
        break;
    default:
        for (uint32_t i = 0; i < count; i++)
            request_append(engine, &engine->connections[index], (uint32_t)ledger_open(&engine->ledger, planned_ns, index));
    }
}

void connection_note(struct engine *engine, uint32_t index, int error)
{
    struct connection *connection = &engine->connections[index];
    connection->failure = error_name(error);
    connection->failed_ns = engine->now_ns;
    tally_error(&engine->tally, connection->failure);
}

const char *request_cause(const struct engine *engine, const struct ledger_entry *entry)
{
    const struct connection *connection = &engine->connections[entry->connection];
    return connection->fd < 0 || entry->planned_ns < connection->failed_ns ? connection->failure : TALLY_TIMEOUT;
}

void requests_revoke(struct engine *engine, uint32_t index, uint32_t first, uint32_t count)
{
    const uint8_t *at = engine->requests + (size_t)first * engine->request_bytes + engine->protocol->id_offset;
    for (uint32_t i = 0; i < count; i++, at += engine->request_bytes) {
        uint64_t id = 0;
        memcpy((uint8_t *)&id + sizeof(id) - engine->protocol->id_bytes, at, engine->protocol->id_bytes);
        id = be64toh(id);
        if (engine->protocol->id_bytes < sizeof(id))
            id = ledger_id(&engine->ledger, (uint32_t)id);
        if (ledger_close(&engine->ledger, id))
            engine->connections[index].outstanding--;
    }
}

static void run_finish(struct engine *engine)
{
    tally_answered(&engine->tally, engine->run_planned_ns, engine->now_ns, engine->run_count);
    engine->run_count = 0;
}

void reply_take_other(struct engine *engine, uint32_t connection, const struct ledger_entry *entry, const char *complaint)
{
    if (!entry || entry->planned_ns == LEDGER_ABANDONED) {
        engine->tally.unexpected++;
        return;
    }
    engine->connections[entry->connection].outstanding--;
    if (UNLIKELY(engine->now_ns >= entry->planned_ns + engine->config->timeout_ns)) {
        tally_lost(&engine->tally, entry->planned_ns, TALLY_TIMEOUT);
        engine->tally.unexpected++;
        return;
    }
    if (entry->connection != connection)
        complaint = error_name(USHER_EPROTOCOL);
    if (UNLIKELY(complaint != NULL)) {
        tally_refused(&engine->tally, entry->planned_ns, complaint);
        return;
    }
    run_finish(engine);
    engine->run_planned_ns = entry->planned_ns;
    engine->run_count = 1;
}

void replies_finish(struct engine *engine, uint32_t connection)
{
    run_finish(engine);
    engine->run_planned_ns = 0;
    engine->connections[connection].outstanding -= engine->ended;
    engine->ended = 0;
}
