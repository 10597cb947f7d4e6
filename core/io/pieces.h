/* pieces - answers too long to be made at once: made piece by piece, no faster than the peer reads, so that neither their making nor their
 * reader holds anybody up.
 *
 * All answers of one line take turns: one piece in a batch of the loop, and twice as long as that took nothing, so that they take a third
 * of the loop's time at most, however many readers there are. An answer whose stream has limits.high_bytes waiting to be sent waits until
 * that has drained: a slow reader costs no more memory than that and a piece.
 * Invariant: `free` of what was given to pieces_begin is called exactly once. on_piece is called from the loop alone.
 * Thread: the loop's. Memory: lines and answers are members of their owners. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/io/list.h"
#include "core/io/timer.h"

struct loop;
struct stream;

#define PIECES_MORE 1

/* What makes an answer. All zeroes: none. */
struct pieces {
    /* Appends the next piece, which takes no longer than some 100 µs. PIECES_MORE; 0: this was the last one; negative: it breaks off. */
    int (*next)(void *ctx, struct buffer *text);
    void (*free)(void *ctx);
    void *ctx;
};

/* Frees what was not begun. All zeroes are a no-op. */
void pieces_done(struct pieces *pieces);

/* All of them at once, for who can wait and is alone. 0 or what broke it off; frees. */
NODISCARD int pieces_collect(struct pieces *pieces, struct buffer *text);

struct pieces_line {
    struct loop *loop;
    struct list_link waiting; /* answers that want their next piece */
    struct timer timer;
    uint64_t rested_ns; /* when the next piece may be made */
    struct buffer text; /* of a piece, kept for the next one */
};

void pieces_line_init(struct pieces_line *line, struct loop *loop);

/* After the last of its answers has ended. */
void pieces_line_done(struct pieces_line *line);

/* One under way, or none: `pieces` is all zeroes then. */
struct pieces_answer {
    struct pieces_line *line;
    struct list_link link; /* in the line's waiting ones */
    struct pieces pieces;
    struct stream *stream;
    /* Sends the piece. result: as of pieces.next; unless it is PIECES_MORE the answer has ended, and this is its last call. It may end
     * the answer, and close the stream. */
    void (*on_piece)(void *ctx, const struct buffer *text, int result);
    void *ctx;
};

/* Takes over `pieces`. line, stream, on_piece and ctx are set. */
void pieces_begin(struct pieces_answer *answer, const struct pieces *pieces);

/* The stream's on_drained: goes on. No answer under way: no-op. */
void pieces_on_drained(struct pieces_answer *answer);

/* Ends it early. None under way: no-op. */
void pieces_end(struct pieces_answer *answer);

static inline bool pieces_are_under_way(const struct pieces_answer *answer)
{
    return answer->pieces.next != NULL;
}
