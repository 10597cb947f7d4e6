/* limits - every number that bounds the protocol, in one place. docs/PROTOCOL.md repeats them. */
#pragma once

#include <stdint.h>

#define WIRE_MAGIC 0x5553u /* "US" */
#define WIRE_MAJOR 1
#define WIRE_MINOR 0

#define FRAME_HEADER_BYTES 20u
#define FRAME_TRAILER_BYTES 36u

/* IPv6's guaranteed 1,280 less its header and UDP's: never fragmented. */
#define DATAGRAM_BYTES_MAX 1232u

/* Any frame, over TCP: the largest JOB and room for its fields. */
#define FRAME_BYTES_MAX ((1u << 20) + (64u << 10))

#define JOB_DATA_BYTES_MAX (1u << 20)
#define RESULT_PART_BYTES_MAX (64u << 10) /* data in one RESULT */
#define DIRECTORY_PART_BYTES_MAX (64u << 10) /* one whole DIRECTORY or DELTA frame */

#define ADDRESSES_MAX 16u
#define EXCLUDES_MAX 16u
#define NODE_SERVICES_MAX 16u
#define ECHOES_MAX 63u /* what a datagram holds beside the rest of a HEARTBEAT */
#define METADATA_MAX 17u
#define ACK_DISPATCHERS_MAX 69u /* what a datagram holds beside the rest of a HEARTBEAT_ACK */
#define SERVICE_NAME_BYTES_MAX 63u
#define ERROR_TEXT_BYTES_MAX 255u
#define REGION_DISPATCHERS_MAX 1024u /* all regions together */
#define REGION_RANGES_MAX 32768u /* all regions together */

/* On the wire: family, state, port, 4 or 16 bytes; family, zero, port, 16 bytes. */
#define COMPACT_ADDRESS_BYTES_IPV4 8u
#define COMPACT_ADDRESS_BYTES_IPV6 20u
#define FIXED_ADDRESS_BYTES 20u

/* A dispatcher in a HEARTBEAT_ACK: boot ID and compact address. */
#define ACK_DISPATCHER_BYTES_IPV4 16u
#define ACK_DISPATCHER_BYTES_IPV6 28u
