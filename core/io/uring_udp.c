/* Datagrams beside a ring. The ring says that some have come; recvmmsg and sendmmsg move them.
 *
 * A multishot RECVMSG with a SEND for each answer was tried for long: it costs 1.03 to 1.10 times as much where many come, and gains
 * nothing where one comes at a time (docs/PERFORMANCE.md). As long as it is armed, whoever sends a datagram must wake it; here nothing
 * waits on a busy socket: it is asked again as soon as what it had is answered, and the ring watches it only once it had little. */
#include <errno.h>
#include <unistd.h>

#include "core/io/socket.h"
#include "core/io/udp_vector.h"
#include "core/io/uring.h"

int uring_udp_open(struct loop *loop, struct udp *udp)
{
    struct udp_vector *vector = udp_vector_new(&udp->config, loop->config.spin);
    if (vector == NULL)
        return -ENOMEM;
    int error = socket_open_udp(&udp->config, false, &udp->handle.fd, &udp->local);
    if (error < 0) {
        udp_vector_free(vector);
        return error;
    }
    udp->backend_state = vector;
    list_append(&loop->udp_ready, &udp->ready_link); /* the first look finds nothing and begins to watch */
    return 0;
}

/* What has come, an error too, recvmmsg will tell. */
void uring_udp_watched(struct loop *loop, struct udp *udp)
{
    handle_operation_end(&udp->handle, OPERATION_RECEIVE);
    if (!udp->handle.ending)
        list_append(&loop->udp_ready, &udp->ready_link);
}

/* A loop that never sleeps asks its sockets in every round: being told by the ring first costs a single request a fifth of its time
 * (measured). */
void uring_udp_receive(struct loop *loop)
{
    for (struct list_link *link = loop->udp_ready.next, *next; link != &loop->udp_ready; link = next) {
        struct udp *udp = CONTAINER_OF(link, struct udp, ready_link);
        next = link->next;
        bool more = !udp->handle.ending && udp_vector_receive(udp, udp->backend_state);
        if (more || loop->config.spin)
            continue;
        list_remove(link);
        if (!udp->handle.ending)
            uring_queue(loop, &udp->handle, OPERATION_RECEIVE);
    }
}

void uring_udp_flush(struct loop *loop, struct udp *udp)
{
    (void)loop;
    udp_vector_flush(udp, udp->backend_state);
}

void uring_udp_release(struct udp *udp)
{
    udp_vector_free(udp->backend_state);
}
