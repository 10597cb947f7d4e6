/* datagrams - what a worker answers over UDP: that it is none of the dispatchers the sender was looking for (requirement D11), and that
 * jobs go over TCP.
 *
 * Pure. Invariant: the answer is one datagram, no longer than the one received; replies and errors are never answered.
 * Thread: one owner of the counters. Nothing blocks or allocates. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/wire/limits.h"

/* Returns the answer's length, 0: none. */
size_t datagram_answer(const uint8_t *bytes, size_t length, struct counters *counters, uint8_t answer[static DATAGRAM_BYTES_MAX]);
