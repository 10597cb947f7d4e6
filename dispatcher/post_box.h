/* post_box - small notes from an answering core to the control thread, in their order.
 *
 * The first note after the box was last emptied rings: it posts a message to the control thread's loop; the others wait beside it. So a
 * flood costs one wake-up, and no more memory than the box has.
 * Thread: post_box_reserve and _publish on the core whose box it is; all else on the control thread.
 * Memory: allocated in post_box_init; the box stays until the core has been stopped. Nothing blocks.
 *
 * The order: publish, then ring; emptying silences the bell, then looks. Both are exchanges of one word, so one of the two sees the
 * other's: no note is left lying. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/spsc_queue.h"
#include "core/io/loop.h"

struct post_box {
    struct spsc_queue notes;
    _Atomic bool rung; /* the message is on its way, or the control thread has put off emptying the box */
    struct loop *loop;
    struct loop_message message;
};

/* notes_max: a power of two. fn(ctx, message) is called when it rings. -ENOMEM. */
NODISCARD int post_box_init(struct post_box *box, size_t notes_max, size_t note_bytes, struct loop *loop,
                            void (*fn)(void *ctx, struct loop_message *message), void *ctx);
void post_box_done(struct post_box *box); /* a box of zeroes: no-op */

/* Room for a note; NULL: the box is full. */
static inline void *post_box_reserve(struct post_box *box)
{
    size_t room;
    void *note = spsc_queue_reserve(&box->notes, &room);
    return room ? note : NULL;
}

/* The note that was reserved is complete. */
void post_box_publish(struct post_box *box);

/* Before the notes are looked at: from now on the next one rings. */
static inline void post_box_silence(struct post_box *box)
{
    (void)atomic_exchange_explicit(&box->rung, false, memory_order_acq_rel);
}

static inline bool post_box_has_rung(const struct post_box *box)
{
    return atomic_load_explicit(&box->rung, memory_order_relaxed);
}
