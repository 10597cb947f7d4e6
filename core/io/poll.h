/* poll - tells when a foreign file descriptor is ready: hiredis, signalfd, pipes.
 *
 * Level-triggered: as long as the descriptor is ready and wanted, fn is called once a batch. One watch per descriptor and loop.
 * Thread: the loop's. Memory: the watch is a member of its owner; after poll_stop it, and the descriptor, may go at once.
 * Nothing blocks. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/macros.h"

struct loop;
struct poll_watch;

/* ready: POLLIN, POLLOUT, POLLHUP, POLLERR … */
typedef void poll_function(void *ctx, struct poll_watch *watch, uint32_t ready);

struct poll_watch {
    struct loop *loop; /* NULL while stopped */
    poll_function *fn;
    void *ctx;
    int fd;
    uint32_t events;
    uint32_t slot; /* the loop's own */
};

/* A watch of all zeroes is stopped and valid. */
static inline bool poll_is_running(const struct poll_watch *watch)
{
    return watch->loop != NULL;
}

/* events: POLLIN, POLLOUT or both; 0 is allowed and waits for errors alone. -EPERM: not a descriptor that can be waited for (a
 * regular file). -EEXIST: watched already. -ENOMEM. */
NODISCARD int poll_start(struct loop *loop, struct poll_watch *watch, int fd, uint32_t events, poll_function *fn, void *ctx);

/* Other events from now on. */
void poll_modify(struct poll_watch *watch, uint32_t events);

/* fn is not called any more. A stopped watch: no-op. Before closing the descriptor, not after. */
void poll_stop(struct poll_watch *watch);
