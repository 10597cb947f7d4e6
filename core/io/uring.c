/* The io_uring backend follows in a commit of its own; until then every loop takes the epoll backend. */
#include "core/base/errors.h"
#include "core/io/backend.h"

static int uring_open(struct loop *loop)
{
    (void)loop;
    return USHER_EURINGFORBIDDEN;
}

const struct loop_backend loop_backend_uring = {.name = "uring", .open = uring_open};
