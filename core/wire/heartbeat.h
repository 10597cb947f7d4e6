/* heartbeat - the control datagrams: REGISTER and HEARTBEAT from a node to rm, HEARTBEAT_ACK back, IDLE_TOKEN from a node
 * straight to a dispatcher. All end in the trailer, which has room for a MAC.
 *
 * Decoders: USHER_EPROTOCOL with the reason in *ret_refusal; ret_* untouched then. Encoders: the frame's length, or -EMSGSIZE
 * (does not fit), -EINVAL (a field that no decoder would take).
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/base/address.h"
#include "core/wire/frame.h"
#include "core/wire/node.h"

/* Key ID and MAC are zero until keys exist; a frame that has them is refused. */
struct wire_trailer {
    uint64_t boot_id; /* the sender's, drawn at random when it starts, never 0 */
    uint64_t sequence; /* of the sender, strictly increasing within one boot */
};

struct wire_service_name {
    uint8_t length; /* 1 … SERVICE_NAME_BYTES_MAX */
    char text[SERVICE_NAME_BYTES_MAX + 1]; /* NUL-terminated */
};

struct wire_register {
    struct address node;
    uint8_t kind; /* enum wire_node_kind */
    uint8_t node_flags; /* within WIRE_NODE_FLAGS_OF_NODE */
    uint16_t slots;
    uint8_t service_count; /* 0 … NODE_SERVICES_MAX */
    struct wire_service_name services[NODE_SERVICES_MAX];
    struct wire_trailer trailer;
};

/* Padded to padded_length (0: not at all); a node pads so that its HEARTBEAT_ACK fits (wire_heartbeat_ack_bytes). */
NODISCARD int wire_register_encode(const struct wire_register *registration, uint64_t request_id, uint32_t padded_length,
                                   uint8_t *bytes, size_t capacity);
NODISCARD int wire_register_decode(const struct frame *frame, struct wire_register *ret_registration, enum refusal *ret_refusal);

/* What an operator has set for a node, and who wrote it when: the later version wins, then the greater rm ID. */
enum wire_admin_flag {
    WIRE_ADMIN_DRAIN = 1,
    WIRE_ADMIN_WEIGHT = 2, /* `weight` replaces the computed one */
};

struct wire_admin {
    uint64_t version_ms; /* wall clock of the writing rm; 0: never set */
    uint64_t writer_rm_id;
    uint8_t flags; /* mask of enum wire_admin_flag */
    float weight; /* ≥ 0 */
};

/* Whether `word` is the later of the two: by its version, and of those of the same moment by the greater writer. */
bool wire_admin_is_later(const struct wire_admin *word, const struct wire_admin *than);

struct wire_service_load {
    uint64_t service_id;
    float work_s; /* expected seconds of work, queued and running */
    float rate; /* jobs a second with all slots busy; 0: no job of it has ended yet */
};

struct wire_echo {
    uint64_t dispatcher_boot_id;
    uint32_t jobs; /* received so far that this boot of a dispatcher sent here */
};

enum wire_metadata_key {
#define METADATA(symbol, key, name, text) WIRE_METADATA_##symbol = (key),
#include "core/wire/metadata.def"
#undef METADATA
};

struct wire_metadata {
    uint8_t key; /* enum wire_metadata_key, or one of a newer version */
    float value; /* ≥ 0 */
};

struct wire_heartbeat {
    struct address node;
    uint8_t kind; /* enum wire_node_kind */
    uint8_t node_flags; /* within WIRE_NODE_FLAGS_OF_NODE */
    uint16_t slots;
    uint64_t timestamp_ms; /* the node's wall clock: for diagnosis only */
    float load_index;
    float load_per_job; /* what one more queued job adds to the load index */
    uint32_t jobs_queued;
    uint32_t jobs_running;
    struct wire_admin admin; /* as last heard of from an rm */
    uint8_t service_count;
    uint8_t echo_count;
    uint8_t metadata_count;
    struct wire_service_load services[NODE_SERVICES_MAX];
    struct wire_echo echoes[ECHOES_MAX];
    struct wire_metadata metadata[METADATA_MAX];
    struct wire_trailer trailer;
};

NODISCARD int wire_heartbeat_encode(const struct wire_heartbeat *heartbeat, uint64_t request_id, uint32_t padded_length,
                                    uint8_t *bytes, size_t capacity);
NODISCARD int wire_heartbeat_decode(const struct frame *frame, struct wire_heartbeat *ret_heartbeat, enum refusal *ret_refusal);

/* "cpu_use"; NULL for a key we don't know. */
const char *wire_metadata_name(uint8_t key);

/* The key of that name, or 0. */
uint8_t wire_metadata_find(const char *name);

enum wire_ack_flag {
    WIRE_ACK_REGISTER_WANTED = 1, /* rm does not know this node's services: send REGISTER */
};

/* A node sends idle tokens to the address, and knows by the boot ID which jobs this dispatcher's picks are. */
struct wire_ack_dispatcher {
    uint64_t boot_id; /* not 0 */
    struct address address;
};

struct wire_heartbeat_ack {
    uint64_t rm_id;
    uint64_t nonce;
    uint16_t region;
    uint16_t flags; /* mask of enum wire_ack_flag */
    uint64_t acked_sequence;
    struct wire_admin admin;
    uint16_t dispatcher_total; /* dispatchers of the region */
    uint8_t dispatcher_count; /* of these in this frame, 0 … ACK_DISPATCHERS_MAX */
    uint32_t node_total; /* nodes of the region that heartbeat: how many share what dispatchers can take in */
    struct wire_ack_dispatcher dispatchers[ACK_DISPATCHERS_MAX];
    struct wire_trailer trailer;
};

#define HEARTBEAT_ACK_BYTES_MIN 113u /* without a dispatcher */

/* What a node pads its next heartbeat to when it knows of `count` dispatchers; at most DATAGRAM_BYTES_MAX. */
static inline uint32_t wire_heartbeat_ack_bytes(uint32_t count, enum address_family family)
{
    uint64_t each = family == ADDRESS_IPV4 ? ACK_DISPATCHER_BYTES_IPV4 : ACK_DISPATCHER_BYTES_IPV6;
    uint64_t bytes = HEARTBEAT_ACK_BYTES_MIN + count * each;
    return bytes < DATAGRAM_BYTES_MAX ? (uint32_t)bytes : DATAGRAM_BYTES_MAX;
}

/* Takes `dispatcher_count` dispatchers as far as they fit into `limit` (room in bytes, at most the request's length); the frame
 * says how many did. -EMSGSIZE: limit < HEARTBEAT_ACK_BYTES_MIN. */
NODISCARD int wire_heartbeat_ack_encode(const struct wire_heartbeat_ack *ack, uint64_t request_id, uint8_t *bytes, size_t limit);
NODISCARD int wire_heartbeat_ack_decode(const struct frame *frame, struct wire_heartbeat_ack *ret_ack, enum refusal *ret_refusal);

/* "I have nothing to do": a picking hint, never answered. */
struct wire_idle_token {
    struct address node;
    struct wire_trailer trailer;
};

#define IDLE_TOKEN_BYTES 76u

NODISCARD int wire_idle_token_encode(const struct wire_idle_token *token, uint64_t request_id, uint8_t *bytes, size_t capacity);
NODISCARD int wire_idle_token_decode(const struct frame *frame, struct wire_idle_token *ret_token, enum refusal *ret_refusal);
