#include "core/io/handle.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/io/backend.h"

void slots_init(struct slots *slots)
{
    *slots = (struct slots){.first_free = SLOTS_MAX};
}

void slots_done(struct slots *slots)
{
    free(slots->slot);
    slots_init(slots);
}

static int slots_grow(struct slots *slots)
{
    uint32_t count = slots->count == 0 ? 64 : slots->count * 2;
    if (count > SLOTS_MAX)
        return -EMFILE;
    struct slot *slot = realloc(slots->slot, count * sizeof(*slot));
    if (slot == NULL)
        return -ENOMEM;
    for (uint32_t i = slots->count; i < count; i++)
        slot[i] = (struct slot){.generation = 1, .next_free = i + 1 < count ? i + 1 : SLOTS_MAX};
    slots->first_free = slots->count;
    slots->slot = slot;
    slots->count = count;
    return 0;
}

int handle_init(struct handle *handle, struct loop *loop, enum handle_kind kind)
{
    if (loop->freeing)
        return USHER_ECANCELLED;
    struct slots *slots = &loop->slots;
    if (slots->first_free == SLOTS_MAX) {
        int error = slots_grow(slots);
        if (error < 0)
            return error;
    }
    uint32_t index = slots->first_free;
    slots->first_free = slots->slot[index].next_free;
    slots->slot[index].handle = handle;
    *handle = (struct handle){.loop = loop, .slot = index, .fd = -1, .kind = (uint8_t)kind};
    list_init(&handle->link);
    list_init(&handle->backend_link);
    list_append(&loop->handles, &handle->link);
    return 0;
}

void handle_done(struct handle *handle)
{
    CHECK(handle->operations == 0);
    struct slots *slots = &handle->loop->slots;
    struct slot *slot = &slots->slot[handle->slot];
    slot->handle = NULL;
    slot->generation++;
    slot->next_free = slots->first_free;
    slots->first_free = handle->slot;
    list_remove(&handle->link);
}

void handle_cancel(struct handle *handle)
{
    struct loop *loop = handle->loop;
    list_remove(&handle->link);
    loop->backend->cancel(loop, handle);
    list_append(handle->operations == 0 ? &loop->ended : &loop->ending, &handle->link);
    if (handle->operations != 0 && !timer_is_running(&loop->ending_timer))
        timer_start(loop, &loop->ending_timer, loop->now_ns + HANDLE_CANCEL_RETRY_MS * NS_PER_MS);
}

void handle_end(struct handle *handle, bool shut_down)
{
    if (handle->ending)
        return;
    handle->ending = true;
    handle->shut_down = shut_down;
    handle_cancel(handle);
}

void handle_operation_end(struct handle *handle, enum handle_operation operation)
{
    handle->operations &= ~(uint32_t)operation;
    if (handle->operations == 0 && handle->ending) {
        list_remove(&handle->link);
        list_append(&handle->loop->ended, &handle->link);
    }
}

static void handle_finish(struct handle *handle)
{
    switch (handle->kind) {
    case HANDLE_UDP: udp_finish(CONTAINER_OF(handle, struct udp, handle)); return;
    case HANDLE_STREAM: stream_finish(CONTAINER_OF(handle, struct stream, handle)); return;
    case HANDLE_LISTENER: listener_finish(CONTAINER_OF(handle, struct listener, handle)); return;
    default: watch_finish(CONTAINER_OF(handle, struct watch, handle));
    }
}

void handles_finish(struct loop *loop)
{
    struct list_link ended;
    list_take_all(&loop->ended, &ended);
    for (struct list_link *link; (link = list_take_first(&ended)) != NULL;)
        handle_finish(CONTAINER_OF(link, struct handle, link));
}
