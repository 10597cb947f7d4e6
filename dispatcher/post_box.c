#include "dispatcher/post_box.h"

int post_box_init(struct post_box *box, size_t notes_max, size_t note_bytes, struct loop *loop,
                  void (*fn)(void *ctx, struct loop_message *message), void *ctx)
{
    box->loop = loop;
    box->message = (struct loop_message){.fn = fn, .ctx = ctx};
    return spsc_queue_init(&box->notes, notes_max, note_bytes);
}

void post_box_done(struct post_box *box)
{
    spsc_queue_done(&box->notes);
}

void post_box_publish(struct post_box *box)
{
    spsc_queue_publish(&box->notes, 1);
    if (!atomic_exchange_explicit(&box->rung, true, memory_order_acq_rel))
        loop_post(box->loop, &box->message);
}
