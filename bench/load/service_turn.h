/* service_turn - the services that requests ask for, one after the other: NAME, NAME-1, NAME-2 and so on, as bench-feed offers them.
 *
 * Invariant: each service is asked for as often as any other, give or take one.
 * Thread: one owner. Memory: allocated in service_turn_init, freed by service_turn_done; all zeroes is an empty one. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"

#define SERVICE_TURN_SERVICES_MAX 65535u

struct service_turn {
    uint64_t *ids; /* as they are in a request */
    uint32_t count;
    uint32_t next;
};

/* Whether so many services can be called so. */
NODISCARD bool service_turn_valid(const char *name, uint32_t count);

/* -ENOMEM. The name must be valid with that count, 1 … SERVICE_TURN_SERVICES_MAX. */
NODISCARD int service_turn_init(struct service_turn *turn, const char *name, uint32_t count);
void service_turn_done(struct service_turn *turn);

/* Makes `count` requests, each `stride` bytes behind the one before, ask for the next services. */
void service_turn_write(struct service_turn *turn, uint8_t *requests, uint32_t stride, uint32_t count);
