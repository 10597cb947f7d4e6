/* idle_tokens - nodes that have said that they have nothing to do, by service, shared by all cores of a dispatcher.
 *
 * They are hints: one may be lost when its ring is full or when two cores meet. What a node has said stands in its values, and is looked
 * at before a token is used. Services that share a ring tell their tokens apart, and so do nodes that had the same slot one after the
 * other, by its tenure (values.h).
 * Thread: pushed by the control thread, taken by every core; lock-free, nothing blocks.
 * Memory: idle_tokens_new allocates; pages that no service uses are never touched. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/base/random.h"

#define TOKEN_RINGS 256u
#define TOKEN_RING_CELLS 4096u /* more idle nodes than that are found by looking at any four */
#define TOKEN_SAMPLES 4u

struct token_ring {
    ALIGN_CACHE_LINE _Atomic uint32_t tail; /* pushed so far; wraps */
    ALIGN_CACHE_LINE _Atomic uint32_t head; /* all before it are gone */
    ALIGN_CACHE_LINE _Atomic uint64_t cells[TOKEN_RING_CELLS]; /* 0: empty */
};

struct idle_tokens {
    struct token_ring rings[TOKEN_RINGS];
};

/* A token that was found, to be taken. */
struct idle_token {
    uint32_t slot;
    uint32_t ordinal; /* the service is the node's k-th; < 32 */
    uint8_t tenure; /* of the slot, when the token was pushed */
    uint64_t cell;
    uint32_t at;
};

/* -ENOMEM. */
NODISCARD int idle_tokens_new(struct idle_tokens **ret_tokens);
void idle_tokens_free(struct idle_tokens *tokens); /* NULL is a no-op */

/* False: the ring is full. */
bool idle_tokens_push(struct idle_tokens *tokens, uint64_t service_id, uint32_t slot, uint32_t ordinal, uint8_t tenure);

/* Whether this one is there, in a pass over the service's ring. */
bool idle_tokens_hold(const struct idle_tokens *tokens, uint64_t service_id, uint32_t slot, uint32_t ordinal, uint8_t tenure);

/* Tokens of all services, those that no longer hold and are not yet put away among them. For metrics. */
uint32_t idle_tokens_total(const struct idle_tokens *tokens);

/* Copies what the service's ring holds right now into another one's, which is empty: of it, what `keep` wants. */
typedef bool idle_tokens_keep_function(const void *ctx, uint32_t slot, uint8_t tenure);
void idle_tokens_copy(struct idle_tokens *tokens, const struct idle_tokens *from, uint64_t service_id,
                      idle_tokens_keep_function *keep, const void *ctx);

/* Puts away what `keep` does not want of one of the TOKEN_RINGS rings. Where nobody asks for a service its tokens would stand for ever, and
 * tenures wrap. */
void idle_tokens_sweep(struct idle_tokens *tokens, uint32_t index, idle_tokens_keep_function *keep, const void *ctx);

/* By one multiplication (snapshot_cell): every pick asks. */
#define TOKEN_RING_BITS 8
static inline uint32_t token_ring_index(uint64_t service_id)
{
    return (uint32_t)(service_id * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TOKEN_RING_BITS));
}
_Static_assert(TOKEN_RINGS == 1u << TOKEN_RING_BITS, "an index for every ring");

/* False: certainly not. tokens may be NULL. */
static inline bool idle_tokens_exist(const struct idle_tokens *tokens, uint64_t service_id)
{
    if (!tokens)
        return false;
    const struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    return atomic_load_explicit(&ring->tail, memory_order_relaxed) != atomic_load_explicit(&ring->head, memory_order_relaxed);
}

/* How many stand in the service's ring, those of services that share it included. */
uint32_t idle_tokens_count(const struct idle_tokens *tokens, uint64_t service_id);

/* Up to TOKEN_SAMPLES of the service's tokens at random, fewer when there are few. They stay where they are. */
uint32_t idle_tokens_sample(const struct idle_tokens *tokens, uint64_t service_id, struct random_state *random,
                            struct idle_token ret_found[static TOKEN_SAMPLES]);

/* Takes out one that idle_tokens_sample found. False: another core was quicker. */
bool idle_tokens_take(struct idle_tokens *tokens, uint64_t service_id, const struct idle_token *token);
