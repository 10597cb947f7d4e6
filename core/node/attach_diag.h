/* attach_diag - what the kernel is asked, and answers, when it shall list the established connections of some ports alone: NETLINK_SOCK_DIAG
 * (sock_diag(7)), as bytes. Sockets are attach_connections.c's.
 *
 * Thread: any. Nothing blocks or allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/node/attach_config.h"

/* A header each of netlink, inet_diag and an attribute, and for each port three steps of the filter's program. */
#define ATTACH_DIAG_REQUEST_BYTES_MAX (16u + 56u + 4u + ATTACHED_MAX * 12u)

/* For a table of one family. Returns the length. Ports may come twice; at least one. */
size_t attach_diag_request(enum address_family family, const uint16_t ports[], uint32_t port_count,
                           uint8_t ret_bytes[static ATTACH_DIAG_REQUEST_BYTES_MAX]);

#define ATTACH_DIAG_MORE 1

/* One datagram of the answer; calls for the local address of each connection. ATTACH_DIAG_MORE: more datagrams follow. 0: this was the
 * last. Negative errno: what the kernel has against the request. -EPROTO: this is no such answer. */
NODISCARD int attach_diag_take(const uint8_t *bytes, size_t length, void (*on_connection)(void *ctx, const struct address *local),
                               void *ctx);
