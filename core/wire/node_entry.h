/* node_entry - a node of a DIRECTORY or DELTA where it lies in the frame: fields are read when they are wanted, since most of an entry
 * says what the reader knows already.
 *
 * Invariant: the entry was checked (wire_nodes_next_entry), so every field is one that PROTOCOL.md allows; bits of a newer version are
 * masked off here.
 * Thread: any. Nothing here blocks or allocates; the frame's bytes must outlive the entry. */
#pragma once

#include "core/wire/cursor.h"
#include "core/wire/directory.h"

struct node_entry {
    const uint8_t *bytes;
};

/* Offsets in the entry. */
enum node_entry_field {
    NODE_ENTRY_PORT = 2,
    NODE_ENTRY_IP = 4,
    NODE_ENTRY_KIND = 20,
    NODE_ENTRY_FLAGS = 21,
    NODE_ENTRY_SLOTS = 22,
    NODE_ENTRY_BOOT_ID = 24,
    NODE_ENTRY_AGE = 32,
    NODE_ENTRY_LOAD_INDEX = 36,
    NODE_ENTRY_LOAD_PER_JOB = 40,
    NODE_ENTRY_JOBS_QUEUED = 44,
    NODE_ENTRY_JOBS_RUNNING = 48,
    NODE_ENTRY_ECHO_JOBS = 52,
    NODE_ENTRY_SERVICE_COUNT = 56,
    NODE_ENTRY_SERVICES = 57,
};

/* Offsets in a service of the entry. */
#define NODE_ENTRY_SERVICE_WORK 9u
#define NODE_ENTRY_SERVICE_RATE 13u
#define NODE_ENTRY_SERVICE_WEIGHT 17u

/* As wire_nodes_next, without taking the entry apart. */
NODISCARD int wire_nodes_next_entry(struct wire_nodes *nodes, struct node_entry *ret_entry, enum refusal *ret_refusal);

static inline float node_entry_f32(struct node_entry entry, uint32_t at)
{
    float value;
    uint32_t bits = bytes_load_u32(entry.bytes + at);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline struct address node_entry_address(struct node_entry entry)
{
    struct address address = {.family = entry.bytes[0], .port = bytes_load_u16(entry.bytes + NODE_ENTRY_PORT)};
    memcpy(address.ip, entry.bytes + NODE_ENTRY_IP, sizeof(address.ip));
    return address;
}

static inline uint8_t node_entry_kind(struct node_entry entry)
{
    return entry.bytes[NODE_ENTRY_KIND];
}

static inline uint8_t node_entry_flags(struct node_entry entry)
{
    return entry.bytes[NODE_ENTRY_FLAGS] & WIRE_NODE_FLAGS_OF_RM;
}

static inline uint8_t node_entry_service_count(struct node_entry entry)
{
    return entry.bytes[NODE_ENTRY_SERVICE_COUNT];
}

static inline const uint8_t *node_entry_service(struct node_entry entry, uint32_t index)
{
    return entry.bytes + NODE_ENTRY_SERVICES + (size_t)index * NODE_ENTRY_SERVICE_BYTES;
}

static inline uint64_t node_entry_service_id(struct node_entry entry, uint32_t index)
{
    return bytes_load_u64(node_entry_service(entry, index));
}

static inline bool node_entry_below_average(struct node_entry entry, uint32_t index)
{
    return (node_entry_service(entry, index)[8] & WIRE_SERVICE_BELOW_AVERAGE) != 0;
}

static inline float node_entry_service_f32(struct node_entry entry, uint32_t index, uint32_t at)
{
    return node_entry_f32(entry, NODE_ENTRY_SERVICES + index * NODE_ENTRY_SERVICE_BYTES + at);
}

static inline float node_entry_work_s(struct node_entry entry, uint32_t index)
{
    return node_entry_service_f32(entry, index, NODE_ENTRY_SERVICE_WORK);
}

static inline float node_entry_rate(struct node_entry entry, uint32_t index)
{
    return node_entry_service_f32(entry, index, NODE_ENTRY_SERVICE_RATE);
}

static inline float node_entry_weight(struct node_entry entry, uint32_t index)
{
    return node_entry_service_f32(entry, index, NODE_ENTRY_SERVICE_WEIGHT);
}
