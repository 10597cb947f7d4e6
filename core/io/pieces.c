#include "core/io/pieces.h"

#include <stddef.h>

#include "core/base/check.h"
#include "core/base/macros.h"
#include "core/io/loop.h"
#include "core/io/stream.h"

/* How long nothing is made after a piece, by how long that took. */
#define PIECES_REST 2u

void pieces_done(struct pieces *pieces)
{
    if (pieces->free)
        pieces->free(pieces->ctx);
    *pieces = (struct pieces){.next = NULL};
}

int pieces_collect(struct pieces *pieces, struct buffer *text)
{
    int result;
    do
        result = pieces->next(pieces->ctx, text);
    while (result == PIECES_MORE);
    pieces_done(pieces);
    return result;
}

static void answer_enqueue(struct pieces_answer *answer)
{
    struct pieces_line *line = answer->line;
    if (!pieces_are_under_way(answer) || stream_is_full(answer->stream))
        return;
    if (list_is_empty(&answer->link))
        list_append(&line->waiting, &answer->link);
    if (!timer_is_running(&line->timer))
        timer_start(line->loop, &line->timer, line->rested_ns);
}

/* Sends what was made last. on_piece may end the answer, but its memory stays: streams end from the loop alone. */
static void answer_step(struct pieces_answer *answer)
{
    struct pieces_line *line = answer->line;
    line->text.length = 0;
    int result = answer->pieces.next(answer->pieces.ctx, &line->text);
    if (result != PIECES_MORE)
        pieces_done(&answer->pieces);
    answer->on_piece(answer->ctx, &line->text, result);
}

static void on_turn(void *ctx, struct timer *timer)
{
    struct pieces_line *line = ctx;
    struct list_link *link = list_take_first(&line->waiting);
    if (!link)
        return;
    struct pieces_answer *answer = CONTAINER_OF(link, struct pieces_answer, link);
    uint64_t began_ns = loop_now_refresh(line->loop);
    answer_step(answer);
    uint64_t ended_ns = loop_now_refresh(line->loop);
    line->rested_ns = ended_ns + (ended_ns - began_ns) * PIECES_REST;
    answer_enqueue(answer);
    if (!list_is_empty(&line->waiting))
        timer_start(line->loop, timer, line->rested_ns);
}

void pieces_line_init(struct pieces_line *line, struct loop *loop)
{
    *line = (struct pieces_line){.loop = loop};
    list_init(&line->waiting);
    timer_init(&line->timer, on_turn, line);
}

void pieces_line_done(struct pieces_line *line)
{
    CHECK(list_is_empty(&line->waiting));
    timer_stop(&line->timer);
    buffer_done(&line->text);
}

void pieces_begin(struct pieces_answer *answer, const struct pieces *pieces)
{
    CHECK(!pieces_are_under_way(answer) && pieces->next && answer->on_piece);
    answer->pieces = *pieces;
    list_init(&answer->link);
    answer_enqueue(answer);
}

void pieces_on_drained(struct pieces_answer *answer)
{
    answer_enqueue(answer);
}

void pieces_end(struct pieces_answer *answer)
{
    if (!pieces_are_under_way(answer))
        return;
    list_remove(&answer->link);
    pieces_done(&answer->pieces);
}
