/* metadata - what a heartbeat says of the machine (requirement N7): what it has, and how much of that is in use.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/node/load.h"
#include "core/node/resources.h"
#include "core/wire/heartbeat.h"

/* There is room: METADATA_MAX is as many as there are keys. */
void metadata_add(struct wire_heartbeat *heartbeat, enum wire_metadata_key key, float value);

/* All but the queue's length. What is not known is left out. */
void metadata_add_host(struct wire_heartbeat *heartbeat, const struct load_report *load, const struct resource_report *resources);
