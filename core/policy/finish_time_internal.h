/* finish_time_internal - the node values that finish-time uses, as seconds. For its own files.
 *
 * `finish` counts 256 ns and wraps after 18 minutes: what is known of a node is some seconds old at most, and waits are cut at half of
 * that range. */
#pragma once

#include "core/policy/values.h"

#define FINISH_UNIT_BITS 8
#define FINISH_UNIT_S 256e-9f
#define FINISH_LEFT_S_MAX 240.0f

static inline float code_to_s(uint8_t code)
{
    /* 2^(k/8) µs */
    static const float steps[8] = {1e-6f,         1.0905077e-6f, 1.1892071e-6f, 1.2968396e-6f,
                                   1.4142136e-6f, 1.5422108e-6f, 1.6817928e-6f, 1.8340081e-6f};
    return code == 0 ? 0 : steps[(code - 1) % 8] * (float)(UINT64_C(1) << (code - 1) / 8);
}

static inline float left_s(const struct node_values *values, uint64_t now_ns)
{
    uint32_t left = atomic_load_explicit(&values->finish, memory_order_relaxed) - (uint32_t)(now_ns >> FINISH_UNIT_BITS);
    return (float)(int32_t)left * FINISH_UNIT_S;
}

static inline void store_left_s(struct node_values *values, float wait_s, uint64_t now_ns)
{
    float left = wait_s < FINISH_LEFT_S_MAX ? wait_s > -FINISH_LEFT_S_MAX ? wait_s : -FINISH_LEFT_S_MAX : FINISH_LEFT_S_MAX;
    uint32_t finish = (uint32_t)(now_ns >> FINISH_UNIT_BITS) + (uint32_t)(int32_t)(left / FINISH_UNIT_S);
    atomic_store_explicit(&values->finish, finish, memory_order_relaxed);
}

static inline float slots_of(const struct node_values *values)
{
    uint16_t slots = atomic_load_explicit(&values->slots, memory_order_relaxed);
    return slots ? (float)slots : 1;
}

/* Of the time until all is done, the part in which a slot is free: the last jobs end one after the other. */
static inline float spare_s(const struct node_values *values)
{
    float slots = slots_of(values);
    return (slots - 1) / slots * code_to_s(atomic_load_explicit(&values->job_code, memory_order_relaxed));
}
