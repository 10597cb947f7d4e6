#include "core/io/stream_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void stream_pool_init(struct stream_pool *pool)
{
    *pool = (struct stream_pool){
        .small = {.piece_bytes = STREAM_PIECE_BYTES},
        .large = {.piece_bytes = STREAM_LARGE_PIECE_BYTES},
    };
}

/* NULL: no memory. */
static void *stream_pieces_take(struct stream_pieces *pieces)
{
    void *piece = pieces->first;
    if (UNLIKELY(piece == NULL))
        return malloc(pieces->piece_bytes);
    memcpy(&pieces->first, piece, sizeof(pieces->first));
    pieces->count--;
    return piece;
}

static void stream_pieces_give(struct stream_pieces *pieces, void *piece)
{
    if ((pieces->count + 1) * pieces->piece_bytes > STREAM_PIECES_KEPT_BYTES) {
        free(piece);
        return;
    }
    memcpy(piece, &pieces->first, sizeof(pieces->first));
    pieces->first = piece;
    pieces->count++;
}

static void stream_pieces_done(struct stream_pieces *pieces)
{
    while (pieces->first != NULL)
        free(stream_pieces_take(pieces));
}

void stream_pool_done(struct stream_pool *pool)
{
    stream_pieces_done(&pool->small);
    stream_pieces_done(&pool->large);
}

void stream_pool_give(struct stream_pool *pool, struct buffer *buffer)
{
    if (buffer->capacity == pool->small.piece_bytes)
        stream_pieces_give(&pool->small, buffer->bytes);
    else if (buffer->capacity == pool->large.piece_bytes)
        stream_pieces_give(&pool->large, buffer->bytes);
    else
        free(buffer->bytes);
    *buffer = (struct buffer){.bytes = NULL};
}

static __attribute__((noinline)) int stream_pool_grow(struct stream_pool *pool, struct buffer *buffer, size_t wanted)
{
    if (wanted > pool->large.piece_bytes)
        return buffer_reserve(buffer, wanted - buffer->length);
    struct stream_pieces *pieces = wanted <= pool->small.piece_bytes ? &pool->small : &pool->large;
    struct buffer grown = {.bytes = stream_pieces_take(pieces), .length = buffer->length, .capacity = pieces->piece_bytes};
    if (grown.bytes == NULL)
        return -ENOMEM;
    if (buffer->length > 0)
        memcpy(grown.bytes, buffer->bytes, buffer->length);
    stream_pool_give(pool, buffer);
    *buffer = grown;
    return 0;
}

int stream_pool_reserve(struct stream_pool *pool, struct buffer *buffer, size_t extra)
{
    size_t wanted;
    if (UNLIKELY(__builtin_add_overflow(buffer->length, extra, &wanted)))
        return -ENOMEM;
    return LIKELY(wanted <= buffer->capacity) ? 0 : stream_pool_grow(pool, buffer, wanted);
}
