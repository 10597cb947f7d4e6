/* mirror_text - nodes and operators' words as the JSON texts that stand in Redis, and back.
 *
 * Texts come back from a store that others may write to, so everything is checked as if a stranger had sent it.
 * Thread: any. Memory: texts go into the caller's buffer. Nothing blocks. */
#pragma once

#include "core/base/buffer.h"
#include "rm/cluster.h"

/* {"kind":"worker","slots":4,"boot":"…","services":{"echo":[work_s,rate]},…}. -ENOMEM. A service whose name is not known yet is written
 * as # and its ID. */
NODISCARD int mirror_node_print(const struct cluster *cluster, const struct node *node, struct buffer *text);

/* Also gives services their names. `address` is the field's name. -EINVAL: not such a text. -ENOMEM. */
NODISCARD int mirror_node_parse(struct services *services, const char *address, const char *text, size_t length,
                                struct cluster_restored *ret_restored);

/* {"version_ms":…,"writer":"…","drain":true,"reason":"…"}. -ENOMEM. */
NODISCARD int mirror_admin_print(const struct node *node, struct buffer *text);

NODISCARD int mirror_admin_parse(const char *text, size_t length, struct wire_admin *ret_admin,
                                 char ret_reason[static NODE_REASON_BYTES_MAX + 1]);

/* "ip:port" of somebody who can be connected to. -EINVAL. */
NODISCARD int mirror_address_parse(const char *text, struct address *ret_address);
