/* socket - the system calls that the two backends with real sockets share.
 *
 * Thread: any. Only opening with retry_bind blocks. Descriptors are close-on-exec. `nonblocking`: epoll wants O_NONBLOCK;
 * io_uring must not have it, or its operations fail with EAGAIN instead of waiting. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/io/backend.h"

/* Fills the name that a socket of `socket_family` sends to; returns its length. IPv4 peers of an IPv6 socket are mapped. */
uint32_t socket_name_set(union socket_name *name, uint8_t socket_family, const struct address *address);

/* Room for the control messages with the segment size of GRO or GSO, and with a time stamp. */
union socket_control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct timespec))];
};

/* What the control messages say; `length`: of all of them. */
struct udp_received socket_read_control(void *control, size_t length);

/* Lets the kernel cut what is sent into segments. */
void socket_set_segment_bytes(struct msghdr *header, union socket_control *control, uint32_t segment_bytes);

NODISCARD int socket_open_udp(const struct udp_config *config, bool nonblocking, int *ret_fd, struct address *ret_local);
/* loop_backend.udp_tune of both. */
void socket_tune_udp(struct udp *udp);

NODISCARD int socket_open_listener(const struct listener_config *config, bool nonblocking, int *ret_fd,
                                   struct address *ret_local);

/* A socket, bound if asked for, and the name to connect it to. */
NODISCARD int socket_open_stream(const struct stream_config *config, bool nonblocking, int *ret_fd,
                                 struct sockaddr_storage *ret_name, socklen_t *ret_name_bytes);

/* Options, peer and local address of a connection that was accepted, adopted or connected. */
void socket_prepare_stream(struct stream *stream, bool nonblocking);

/* Takes one connection out of a listener's queue and closes it, at the price of giving up *reserve_fd for a moment. */
bool socket_shed(int listener_fd, int *reserve_fd);

/* Takes one connection out of a listener's queue in exchange for *reserve_fd, which is −1 then. −1: there is none, or somebody else was
 * quicker to take the descriptor. */
int socket_accept_on_reserve(int listener_fd, int *reserve_fd);

/* A descriptor to give up later; −1. */
int socket_reserve(void);

/* loop_backend.drop of both. */
void socket_drop(void *backend_ctx, int fd);
