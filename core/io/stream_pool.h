/* stream_pool - where the streams of a loop get the memory of what they send: only while something is on its way, so that an idle
 * stream has none, and the piece that was given back last first, which is still in the cache.
 *
 * Pieces come in two sizes, and what outgrows the larger one is allocated for itself. What is kept is bounded: 4 MiB of each size.
 * Invariant: a buffer's capacity tells what it is; 0: it has nothing.
 * Thread: the loop's; a piece may go back to another loop's pool than it came from. Memory: the pool's and its streams'. Nothing
 * blocks; while the pool has pieces nothing is allocated. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/macros.h"

/* Answers to some 80 requests; and to as many as a connection may have outstanding, at the shortest. */
#define STREAM_PIECE_BYTES ((size_t)4096)
#define STREAM_LARGE_PIECE_BYTES ((size_t)32768)
#define STREAM_PIECES_KEPT_BYTES ((size_t)4 << 20)

struct stream_pieces {
    void *first; /* each holds the pointer to the next */
    size_t piece_bytes;
    size_t count;
};

struct stream_pool {
    struct stream_pieces small;
    struct stream_pieces large;
};

void stream_pool_init(struct stream_pool *pool);
void stream_pool_done(struct stream_pool *pool);

/* Makes room for `extra` more bytes behind buffer->length. -ENOMEM. */
NODISCARD int stream_pool_reserve(struct stream_pool *pool, struct buffer *buffer, size_t extra);

/* Takes the buffer's memory; it is empty then. */
void stream_pool_give(struct stream_pool *pool, struct buffer *buffer);
