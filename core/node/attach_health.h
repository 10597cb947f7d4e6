/* attach_health - whether an attached service is up, from the results of its checks: pure steps.
 *
 *     unknown ──good──▶ up ──fall bad ones in a row──▶ down ──rise good ones in a row──▶ up
 *        └──────bad─────────────────────────────────────▲
 *
 * The first check alone decides the first state: a restart of this node must not take servers out that are well, nor offer one
 * that is not. Thread: one owner. Memory: none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct attach_health {
    bool known;
    bool up;
    uint32_t against; /* results in a row that speak against the state */
};

/* True: the state is known now, or another one. */
static inline bool attach_health_take(struct attach_health *health, bool good, uint32_t rise, uint32_t fall)
{
    health->against = health->known && good == health->up ? 0 : health->against + 1;
    if (health->known && health->against < (health->up ? fall : rise))
        return false;
    *health = (struct attach_health){.known = true, .up = good};
    return true;
}
