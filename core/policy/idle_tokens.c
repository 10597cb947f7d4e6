/* A ring per service: pushed at the tail, taken anywhere between head and tail. What is taken from the middle is replaced by what
 * stands at the head, so that the ring stays dense: every core looks at any cell and nearly always finds a token there.
 *
 * A cell is one word, whole in itself, and what it says of the node is checked against the node's values. Who finds a token may hand out
 * the node before a snapshot that it knows names it, so cells are released and acquired: with them comes the node's address. All else is
 * relaxed. A core that meets another's half-done replacement sees an empty cell and misses a token: a hint lost. */
#include "core/policy/idle_tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/hash.h"

#define MASK (TOKEN_RING_CELLS - 1)
_Static_assert((TOKEN_RING_CELLS & MASK) == 0, "positions wrap");

int idle_tokens_new(struct idle_tokens **ret_tokens)
{
    void *memory =
        mmap(NULL, sizeof(struct idle_tokens), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    *ret_tokens = memory;
    return 0;
}

void idle_tokens_free(struct idle_tokens *tokens)
{
    if (tokens != NULL)
        munmap(tokens, sizeof(*tokens));
}

#define ORDINAL_BITS 5
#define TENURE_BITS 6
#define TAG_BITS 21

/* slot + 1 : 32, tag of the service : 21, tenure : 6, ordinal : 5 */
static uint64_t cell_of(uint64_t hash, uint32_t slot, uint32_t ordinal, uint8_t tenure)
{
    return ((uint64_t)slot + 1) << 32 | (hash >> (64 - TAG_BITS)) << (ORDINAL_BITS + TENURE_BITS) |
           (uint64_t)tenure << ORDINAL_BITS | ordinal;
}

static bool cell_is_of(uint64_t cell, uint64_t hash)
{
    return (uint32_t)cell >> (ORDINAL_BITS + TENURE_BITS) == (uint32_t)(hash >> (64 - TAG_BITS));
}

bool idle_tokens_push(struct idle_tokens *tokens, uint64_t service_id, uint32_t slot, uint32_t ordinal, uint8_t tenure)
{
    uint64_t hash = hash_mix(service_id);
    struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (tail - head >= TOKEN_RING_CELLS)
        return false;
    atomic_store_explicit(&ring->cells[tail & MASK], cell_of(hash, slot, ordinal, tenure), memory_order_release);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_relaxed);
    return true;
}

void idle_tokens_copy(struct idle_tokens *tokens, const struct idle_tokens *from, uint64_t service_id,
                      idle_tokens_keep_function *keep, const void *ctx)
{
    struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    const struct token_ring *source = &from->rings[token_ring_index(service_id)];
    atomic_store_explicit(&ring->tail, atomic_load_explicit(&source->tail, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&ring->head, atomic_load_explicit(&source->head, memory_order_relaxed), memory_order_relaxed);
    for (uint32_t i = 0; i < TOKEN_RING_CELLS; i++) {
        uint64_t cell = atomic_load_explicit(&source->cells[i], memory_order_relaxed);
        if (cell != 0 && !keep(ctx, (uint32_t)(cell >> 32) - 1, cell >> ORDINAL_BITS & ((1u << TENURE_BITS) - 1)))
            cell = 0;
        atomic_store_explicit(&ring->cells[i], cell, memory_order_relaxed);
    }
}

static uint32_t ring_length(const struct token_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&ring->tail, memory_order_relaxed) - head;
    return count <= TOKEN_RING_CELLS ? count : 0; /* read while it moved */
}

bool idle_tokens_hold(const struct idle_tokens *tokens, uint64_t service_id, uint32_t slot, uint32_t ordinal, uint8_t tenure)
{
    uint64_t hash = hash_mix(service_id);
    const struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed), length = ring_length(ring);
    for (uint32_t i = 0; i < length; i++)
        if (atomic_load_explicit(&ring->cells[(head + i) & MASK], memory_order_relaxed) == cell_of(hash, slot, ordinal, tenure))
            return true;
    return false;
}

uint32_t idle_tokens_count(const struct idle_tokens *tokens, uint64_t service_id)
{
    return ring_length(&tokens->rings[token_ring_index(service_id)]);
}

uint32_t idle_tokens_total(const struct idle_tokens *tokens)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TOKEN_RINGS; i++)
        count += ring_length(&tokens->rings[i]);
    return count;
}

uint32_t idle_tokens_sample(const struct idle_tokens *tokens, uint64_t service_id, struct random_state *random,
                            struct idle_token ret_found[static TOKEN_SAMPLES])
{
    uint64_t hash = hash_mix(service_id);
    const struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t length = atomic_load_explicit(&ring->tail, memory_order_relaxed) - head;
    if (LIKELY(length == 0 || length > TOKEN_RING_CELLS))
        return 0;
    uint32_t count = length < TOKEN_SAMPLES ? length : TOKEN_SAMPLES;
    uint32_t first = length > count ? random_below(random, length) : 0;
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = head + (first + i) % length;
        uint64_t cell = atomic_load_explicit(&ring->cells[at & MASK], memory_order_acquire);
        if (cell == 0 || !cell_is_of(cell, hash))
            continue;
        ret_found[found++] = (struct idle_token){
            .slot = (uint32_t)(cell >> 32) - 1,
            .ordinal = cell & ((1u << ORDINAL_BITS) - 1),
            .tenure = cell >> ORDINAL_BITS & ((1u << TENURE_BITS) - 1),
            .cell = cell,
            .at = at,
        };
    }
    return found;
}

/* Fills the hole with the token at the head, and moves the head past empty cells. */
static void close_hole(struct token_ring *ring, uint32_t at)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (at != head && head != tail) {
        uint64_t oldest = atomic_exchange_explicit(&ring->cells[head & MASK], 0, memory_order_acquire);
        uint64_t empty = 0;
        if (oldest != 0)
            (void)atomic_compare_exchange_strong_explicit(&ring->cells[at & MASK], &empty, oldest, memory_order_release,
                                                          memory_order_relaxed);
    }
    while (head != tail && atomic_load_explicit(&ring->cells[head & MASK], memory_order_relaxed) == 0) {
        if (!atomic_compare_exchange_strong_explicit(&ring->head, &head, head + 1, memory_order_relaxed, memory_order_relaxed))
            break;
        head++;
    }
}

void idle_tokens_sweep(struct idle_tokens *tokens, uint32_t index, idle_tokens_keep_function *keep, const void *ctx)
{
    struct token_ring *ring = &tokens->rings[index];
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed), length = ring_length(ring);
    for (uint32_t at = head; at != head + length; at++) {
        uint64_t cell = atomic_load_explicit(&ring->cells[at & MASK], memory_order_acquire);
        if (cell == 0 || keep(ctx, (uint32_t)(cell >> 32) - 1, cell >> ORDINAL_BITS & ((1u << TENURE_BITS) - 1)))
            continue;
        if (atomic_compare_exchange_strong_explicit(&ring->cells[at & MASK], &cell, 0, memory_order_relaxed,
                                                    memory_order_relaxed))
            close_hole(ring, at);
    }
}

bool idle_tokens_take(struct idle_tokens *tokens, uint64_t service_id, const struct idle_token *token)
{
    struct token_ring *ring = &tokens->rings[token_ring_index(service_id)];
    uint64_t cell = token->cell;
    if (!atomic_compare_exchange_strong_explicit(&ring->cells[token->at & MASK], &cell, 0, memory_order_relaxed,
                                                 memory_order_relaxed))
        return false;
    close_hole(ring, token->at);
    return true;
}
