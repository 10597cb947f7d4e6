#include <errno.h>
#include <unistd.h>

#include "core/io/epoll.h"
#include "core/io/socket.h"
#include "core/io/udp_vector.h"

int epoll_udp_open(struct loop *loop, struct udp *udp)
{
    (void)loop;
    struct udp_vector *vector = udp_vector_new(&udp->config, false);
    if (vector == NULL)
        return -ENOMEM;
    int error = socket_open_udp(&udp->config, true, &udp->handle.fd, &udp->local);
    if (error == 0) {
        error = epoll_want(&udp->handle, EPOLLIN);
        if (error < 0)
            (void)close(udp->handle.fd);
    }
    if (error < 0) {
        udp_vector_free(vector);
        return error;
    }
    udp->backend_state = vector;
    return 0;
}

void epoll_udp_receive(struct udp *udp)
{
    (void)udp_vector_receive(udp, udp->backend_state); /* epoll finds by itself what is left */
}

void epoll_udp_flush(struct loop *loop, struct udp *udp)
{
    (void)loop;
    udp_vector_flush(udp, udp->backend_state);
}

void epoll_udp_release(struct udp *udp)
{
    udp_vector_free(udp->backend_state);
}
