/* port - whether a service port is free: SO_REUSEPORT, by which the cores of one daemon share a port, would let a second daemon share
 * it too, and each would get half of the other's requests.
 * Thread: any. Blocks for up to 1 s where the port is taken: a ring's port outlives its process a moment. */
#pragma once

#include "core/base/address.h"
#include "core/base/macros.h"

/* Port 0 is always free. -EADDRINUSE: somebody has it, over UDP or TCP; others of bind(2). */
NODISCARD int port_check(const struct address *address);
