/* directory - what rm and a dispatcher say to each other over TCP: SUBSCRIBE → DIRECTORY, DELTA, REGION_TABLE.
 *
 * Lists are too long for structs: builders write entries into a frame until it is full, iterators read them off a frame. An iterator
 * checks as it goes: only when it returned 0 was the frame sound, so collect first and take over then.
 * Decoders: USHER_EPROTOCOL with the reason in *ret_refusal; ret_* untouched then. Encoders: the frame's length, or -EMSGSIZE
 * (does not fit), -EINVAL (a field that no decoder would take).
 * Thread: one owner for a builder or iterator. Nothing here blocks or allocates; a frame's bytes must outlive its iterator. */
#pragma once

#include "core/base/address.h"
#include "core/wire/address_path.h"
#include "core/wire/cursor.h"
#include "core/wire/frame.h"
#include "core/wire/node.h"

/* Versions of a list are compared only within one rm ID; another rm ID forces a full list. */
struct wire_version {
    uint64_t rm_id;
    uint64_t epoch;
    uint64_t sequence;
};

struct wire_subscribe {
    struct address subscriber;
    uint64_t boot_id;
    uint16_t region;
    bool push; /* rm shall send changes by itself; else it answers once */
    struct wire_version have; /* zeros: nothing */
    uint32_t regions_version; /* of the region table it has; 0: none */
};

#define SUBSCRIBE_BYTES 80u

NODISCARD int wire_subscribe_encode(const struct wire_subscribe *subscribe, uint64_t request_id, uint8_t *bytes, size_t capacity);
NODISCARD int wire_subscribe_decode(const struct frame *frame, struct wire_subscribe *ret_subscribe, enum refusal *ret_refusal);

enum wire_service_flag {
    WIRE_SERVICE_BELOW_AVERAGE = 1, /* its load is below the service's average, or equal when all are (R3) */
};

struct wire_node_service {
    uint64_t service_id;
    uint8_t flags; /* mask of enum wire_service_flag */
    float work_s;
    float rate; /* as in struct wire_service_load */
    float weight; /* its spare capacity, as this service's nodes are compared (R5) */
};

struct wire_node {
    struct address address;
    uint8_t kind; /* enum wire_node_kind */
    uint8_t flags; /* within WIRE_NODE_FLAGS_OF_RM */
    uint16_t slots;
    uint64_t boot_id;
    uint32_t age_ms; /* of what it last reported, when rm wrote this: subtract on your own clock */
    float load_index;
    float load_per_job;
    uint32_t jobs_queued;
    uint32_t jobs_running;
    uint32_t echo_jobs; /* jobs the node has received that this subscriber's boot sent there */
    uint8_t service_count;
    struct wire_node_service services[NODE_SERVICES_MAX]; /* the first service_count are set */
};

#define NODE_ENTRY_BYTES_MIN 57u
#define NODE_ENTRY_SERVICE_BYTES 21u

/* What stands before a DIRECTORY's or DELTA's lists. */
struct wire_directory {
    struct wire_version version;
    uint32_t node_total; /* of all parts */
    uint32_t node_count; /* in this part */
    bool first; /* begins a list */
    bool more; /* parts follow; all parts together replace the list */
};

struct wire_delta {
    uint64_t rm_id;
    uint64_t epoch;
    uint64_t base_sequence; /* what the receiver must have */
    uint64_t sequence; /* ≥ base_sequence: what it has then. Equal, with empty lists: nothing has changed.
                        * A long delta is a chain of frames, each based on the one before. */
    uint32_t removed_count;
    uint32_t node_count; /* new or changed, whole entries */
};

/* Writes one frame. Counts are filled in by _finish. */
struct wire_nodes_builder {
    struct wire_writer writer;
    uint32_t removed_count;
    uint32_t node_count;
    bool delta;
};

/* Uses version, node_total and first. capacity above DIRECTORY_PART_BYTES_MAX is not used. */
void wire_directory_begin(struct wire_nodes_builder *builder, const struct wire_directory *directory, uint64_t request_id,
                          uint8_t *bytes, size_t capacity);
/* Uses all but the counts. */
void wire_delta_begin(struct wire_nodes_builder *builder, const struct wire_delta *delta, uint64_t request_id, uint8_t *bytes,
                      size_t capacity);

/* -EMSGSIZE: the frame is full and as it was before: finish it, send it, begin another. Removed nodes come before the others. */
NODISCARD int wire_nodes_add_removed(struct wire_nodes_builder *builder, const struct address *address);
NODISCARD int wire_nodes_add(struct wire_nodes_builder *builder, const struct wire_node *node);

/* The frame's length. `more`: DIRECTORY only. -EINVAL also for a DELTA with entries that stays at its base's sequence. */
NODISCARD int wire_nodes_finish(struct wire_nodes_builder *builder, bool more);

/* Reads a DIRECTORY's or DELTA's lists. */
struct wire_nodes {
    struct wire_reader reader;
    uint32_t removed_left;
    uint32_t nodes_left;
};

NODISCARD int wire_directory_decode(const struct frame *frame, struct wire_directory *ret_directory, struct wire_nodes *ret_nodes,
                                    enum refusal *ret_refusal);
NODISCARD int wire_delta_decode(const struct frame *frame, struct wire_delta *ret_delta, struct wire_nodes *ret_nodes,
                                enum refusal *ret_refusal);

/* 1 and an entry, 0 when there are no more, USHER_EPROTOCOL. Call _next_removed until it returns 0 (for a DELTA), then _next
 * until it returns 0. */
NODISCARD int wire_nodes_next_removed(struct wire_nodes *nodes, struct address *ret_address, enum refusal *ret_refusal);
NODISCARD int wire_nodes_next(struct wire_nodes *nodes, struct wire_node *ret_node, enum refusal *ret_refusal);

struct wire_region_range {
    uint16_t region;
    struct address_range range;
};

struct wire_region_table {
    uint32_t version;
    uint16_t dispatcher_count; /* ≤ REGION_DISPATCHERS_MAX */
    uint16_t range_count; /* ≤ REGION_RANGES_MAX */
};

/* The counts in `table` are those of the arrays. */
NODISCARD int wire_region_table_encode(const struct wire_region_table *table, const struct wire_region_dispatcher *dispatchers,
                                       const struct wire_region_range *ranges, uint64_t request_id, uint8_t *bytes,
                                       size_t capacity);

/* How long that frame can be at most. */
static inline uint32_t wire_region_table_bytes_max(const struct wire_region_table *table)
{
    return FRAME_HEADER_BYTES + 8 + table->dispatcher_count * 22u + table->range_count * 24u;
}

struct wire_regions {
    struct wire_reader reader;
    uint32_t dispatchers_left;
    uint32_t ranges_left;
};

NODISCARD int wire_region_table_decode(const struct frame *frame, struct wire_region_table *ret_table,
                                       struct wire_regions *ret_regions, enum refusal *ret_refusal);

/* As wire_nodes_next: all dispatchers first, then the ranges until 0. */
NODISCARD int wire_regions_next_dispatcher(struct wire_regions *regions, struct wire_region_dispatcher *ret_dispatcher,
                                           enum refusal *ret_refusal);
NODISCARD int wire_regions_next_range(struct wire_regions *regions, struct wire_region_range *ret_range,
                                      enum refusal *ret_refusal);
