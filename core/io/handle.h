/* handle - what sockets, listeners, streams and watches have in common: a descriptor, the operations that the backend has in
 * flight on it, and a place in the loop's table of slots.
 *
 * Completions carry a slot's index and generation instead of pointers, so that one that arrives late for something that is gone
 * finds nothing. Ending is one procedure for all kinds: cancel everything, wait for the last completion, then release. (A close
 * neither cancels an io_uring operation nor sends a FIN while one is in flight.)
 *
 * Invariant: memory and descriptor of a handle live until operations is 0; handle_end may be called from within any handler.
 * Thread: the loop's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/macros.h"
#include "core/io/list.h"

struct loop;

enum handle_kind {
    HANDLE_UDP = 1,
    HANDLE_STREAM,
    HANDLE_LISTENER,
    HANDLE_WATCH,
};

/* Operations that a backend may have in flight, as bits. */
enum handle_operation {
    OPERATION_RECEIVE = 1, /* of a listener: accept; of a watch: poll */
    OPERATION_SEND = 2,
    OPERATION_CONNECT = 4,
    OPERATION_CANCEL = 8,
    OPERATION_PAUSE = 16, /* cancels a receive, but nothing else */
};

/* A cancellation can miss an operation that is just being moved about in the kernel: it is repeated at this interval. */
#define HANDLE_CANCEL_RETRY_MS UINT64_C(10)

struct handle {
    struct loop *loop;
    uint32_t slot;
    uint32_t operations; /* mask of enum handle_operation */
    int fd; /* −1: none. A watch does not own its one */
    uint8_t kind;
    bool ending;
    bool shut_down; /* when ending: also shut the connection down */
    uint32_t backend_events; /* the backend's own */
    struct list_link backend_link;
    struct list_link link; /* in loop->handles, loop->ending or loop->ended */
};

/* 16 M at once: the index has to fit beside a generation and an operation into 64 bits. */
#define SLOTS_MAX (UINT32_C(1) << 24)

struct slot {
    struct handle *handle; /* NULL: free */
    uint32_t generation; /* one more at every release */
    uint32_t next_free;
};

struct slots {
    struct slot *slot;
    uint32_t count;
    uint32_t first_free; /* SLOTS_MAX: none */
};

void slots_init(struct slots *slots);
void slots_done(struct slots *slots);

/* NULL when the generation has passed. */
static inline struct handle *slots_find(const struct slots *slots, uint32_t index, uint32_t generation)
{
    if (UNLIKELY(index >= slots->count || slots->slot[index].generation != generation))
        return NULL;
    return slots->slot[index].handle;
}

/* Gives it a slot and puts it in loop->handles. -ENOMEM, -EMFILE above SLOTS_MAX. */
NODISCARD int handle_init(struct handle *handle, struct loop *loop, enum handle_kind kind);

/* Undoes handle_init. No operation may be in flight. */
void handle_done(struct handle *handle);

/* Begins to end it: the kind's finish function is called at the end of the batch in which its last operation ended. */
void handle_end(struct handle *handle, bool shut_down);

/* For the loop: cancels once more what an ending handle still has in flight. */
void handle_cancel(struct handle *handle);

/* For backends. */
static inline void handle_operation_begin(struct handle *handle, enum handle_operation operation)
{
    handle->operations |= (uint32_t)operation;
}
void handle_operation_end(struct handle *handle, enum handle_operation operation);

/* For the loop: finishes what has ended. */
void handles_finish(struct loop *loop);
