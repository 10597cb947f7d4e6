/* heartbeat_parts - fields that several of the control datagrams and directory entries have. For this room only.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/wire/cursor.h"
#include "core/wire/heartbeat.h"

#define WIRE_ADMIN_FLAGS_KNOWN ((unsigned)(WIRE_ADMIN_DRAIN | WIRE_ADMIN_WEIGHT))

void wire_admin_write(struct wire_writer *writer, const struct wire_admin *admin);
struct wire_admin wire_admin_read(struct wire_reader *reader);

/* REFUSAL_BAD_KIND. */
uint8_t wire_node_kind_read(struct wire_reader *reader);
