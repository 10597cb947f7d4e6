#include "core/io/poll.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "core/io/backend.h"

static struct watch *watch_of(const struct poll_watch *watch)
{
    struct handle *handle = watch->loop->slots.slot[watch->slot].handle;
    return CONTAINER_OF(handle, struct watch, handle);
}

int poll_start(struct loop *loop, struct poll_watch *watch, int fd, uint32_t events, poll_function *fn, void *ctx)
{
    CHECK(watch->loop == NULL);
    struct watch *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return -ENOMEM;
    int error = handle_init(&own->handle, loop, HANDLE_WATCH);
    if (error < 0) {
        free(own);
        return error;
    }
    own->handle.fd = fd;
    own->owner = watch;
    *watch = (struct poll_watch){.loop = loop, .fn = fn, .ctx = ctx, .fd = fd, .events = events, .slot = own->handle.slot};
    error = loop->backend->watch_arm(loop, own);
    if (error < 0) {
        watch->loop = NULL;
        handle_done(&own->handle);
        free(own);
    }
    return error;
}

void poll_modify(struct poll_watch *watch, uint32_t events)
{
    if (watch->loop == NULL || watch->events == events)
        return;
    watch->events = events;
    watch->loop->backend->watch_modify(watch->loop, watch_of(watch));
}

void poll_stop(struct poll_watch *watch)
{
    if (watch->loop == NULL)
        return;
    struct watch *own = watch_of(watch);
    watch->loop = NULL;
    own->owner = NULL;
    handle_end(&own->handle, false);
}

void watch_event(struct watch *watch, uint32_t ready)
{
    struct poll_watch *owner = watch->owner;
    if (owner == NULL)
        return;
    uint32_t wanted = ready & (owner->events | POLLERR | POLLHUP | POLLNVAL);
    if (wanted != 0)
        owner->fn(owner->ctx, owner, wanted);
}

void watch_finish(struct watch *watch)
{
    struct loop *loop = watch->handle.loop;
    loop->backend->release(loop, &watch->handle);
    handle_done(&watch->handle);
    free(watch);
}
