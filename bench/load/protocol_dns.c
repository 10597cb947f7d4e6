/* A DNS query for one name (RFC 1035) and its answer, over UDP, without EDNS. The ledger's slot is the query's ID. */
#include <errno.h>

#include "bench/load/engine_internal.h"
#include "core/base/errors.h"

#define DNS_HEADER_BYTES 12u
#define DNS_LABEL_BYTES_MAX 63u
#define DNS_NAME_BYTES_MAX 255u /* on the wire */
#define DNS_QUESTION_TAIL_BYTES 4u /* type and class */
#define DNS_RECORD_TAIL_BYTES 10u /* type, class, time to live, length of the data */
#define DNS_CLASS_IN 1
#define DNS_POINTER 0xc0u
#define DNS_FLAG_REPLY 0x8000u
#define DNS_FLAG_TRUNCATED 0x0200u
#define DNS_RCODE_MASK 0x000fu

static const uint16_t dns_types[] = {[ENGINE_QUERY_A] = 1, [ENGINE_QUERY_SRV] = 33};

static const char *const dns_rcodes[] = {
    [1] = "dns-format-error",    [2] = "dns-server-failure", [3] = "dns-no-such-name",
    [4] = "dns-not-implemented", [5] = "dns-refused",
};

static uint16_t dns_number(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void dns_number_put(uint8_t *bytes, uint16_t number)
{
    bytes[0] = (uint8_t)(number >> 8);
    bytes[1] = (uint8_t)number;
}

/* "a.example." as labels; the length, or −EINVAL. */
static int dns_name_write(const char *name, uint8_t bytes[static DNS_NAME_BYTES_MAX])
{
    size_t used = 0;
    while (*name) {
        size_t length = strcspn(name, ".");
        if (length == 0 || length > DNS_LABEL_BYTES_MAX || used + length + 2 > DNS_NAME_BYTES_MAX)
            return -EINVAL;
        bytes[used++] = (uint8_t)length;
        memcpy(bytes + used, name, length);
        used += length;
        name += length + (name[length] == '.');
    }
    bytes[used++] = 0;
    return (int)used;
}

static int dns_request_write(const struct engine_config *config, uint8_t *bytes, size_t capacity, struct conf_error *ret_error)
{
    uint8_t name[DNS_NAME_BYTES_MAX];
    int name_bytes = dns_name_write(config->query, name);
    if (name_bytes < 0) {
        conf_error_set(ret_error, "--query \"%.80s\": give a name such as www.example.com", config->query);
        return name_bytes;
    }
    size_t length = DNS_HEADER_BYTES + (size_t)name_bytes + DNS_QUESTION_TAIL_BYTES;
    if (length > capacity)
        return -EMSGSIZE;
    memset(bytes, 0, length);
    dns_number_put(bytes + 4, 1); /* questions */
    memcpy(bytes + DNS_HEADER_BYTES, name, (size_t)name_bytes);
    dns_number_put(bytes + DNS_HEADER_BYTES + name_bytes, dns_types[config->query_type]);
    dns_number_put(bytes + DNS_HEADER_BYTES + name_bytes + 2, DNS_CLASS_IN);
    return (int)length;
}

/* Where a name ends; 0: behind the end. */
static size_t dns_name_skip(const uint8_t *bytes, size_t length, size_t at)
{
    while (at < length) {
        if (bytes[at] == 0)
            return at + 1;
        if ((bytes[at] & DNS_POINTER) == DNS_POINTER)
            return at + 2;
        at += 1u + bytes[at];
    }
    return 0;
}

/* Whether the answer section is whole and has a record of the type that was asked for. */
static const char *dns_answers_complaint(const struct engine *engine, const uint8_t *bytes, size_t length, uint32_t answers)
{
    size_t at = engine->request_bytes;
    bool found = false;
    for (uint32_t i = 0; i < answers; i++) {
        at = dns_name_skip(bytes, length, at);
        if (at == 0 || at + DNS_RECORD_TAIL_BYTES > length)
            return "dns-malformed";
        found = found || dns_number(bytes + at) == dns_types[engine->config->query_type];
        at += DNS_RECORD_TAIL_BYTES + dns_number(bytes + at + 8);
        if (at > length)
            return "dns-malformed";
    }
    return found ? NULL : "dns-no-answer";
}

static const char *dns_complaint(const struct engine *engine, const uint8_t *bytes, size_t length)
{
    uint16_t flags = dns_number(bytes + 2), rcode = flags & DNS_RCODE_MASK;
    if (rcode != 0)
        return rcode < ARRAY_COUNT(dns_rcodes) ? dns_rcodes[rcode] : "dns-other-error";
    if (flags & DNS_FLAG_TRUNCATED)
        return "dns-truncated";
    if (length < engine->request_bytes || dns_number(bytes + 4) != 1 ||
        memcmp(bytes + DNS_HEADER_BYTES, engine->requests + DNS_HEADER_BYTES, engine->request_bytes - DNS_HEADER_BYTES) != 0)
        return "dns-other-question";
    return dns_answers_complaint(engine, bytes, length, dns_number(bytes + 6));
}

static void dns_take_datagram(struct engine *engine, uint32_t connection, const uint8_t *bytes, size_t length)
{
    if (length < DNS_HEADER_BYTES || !(dns_number(bytes + 2) & DNS_FLAG_REPLY)) {
        tally_error(&engine->tally, error_name(USHER_EPROTOCOL));
        return;
    }
    reply_take(engine, connection, ledger_id(&engine->ledger, dns_number(bytes)), dns_complaint(engine, bytes, length));
}

const struct protocol protocol_dns = {
    .id_offset = 0,
    .id_bytes = sizeof(uint16_t),
    .outstanding_max = 1u << 16,
    .request_write = dns_request_write,
    .take_datagram = dns_take_datagram,
};
