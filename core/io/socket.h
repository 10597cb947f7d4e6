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

/* Room for the control messages with the segment size of GRO or GSO, with a time stamp, and with an address of this machine. */
union socket_control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Whether the kernel is to say where each datagram came to. */
static inline bool socket_tells_local(const struct udp_config *config)
{
    return address_is_wildcard(&config->address) && config->connect.family == ADDRESS_NONE;
}

/* Whether anything comes beside name and bytes; goes out beside them. */
static inline bool socket_receives_control(const struct udp_config *config)
{
    return config->segmentation || config->age_ns_max > 0 || socket_tells_local(config);
}

static inline bool socket_sends_control(const struct udp_config *config)
{
    return config->segmentation || socket_tells_local(config);
}

/* What the control messages say; `length`: of all of them. */
struct udp_received socket_read_control(void *control, size_t length);

static inline bool socket_needs_control(const struct udp_packet *packet)
{
    return packet->length > packet->segment_bytes || packet->via > 0;
}

/* What the kernel must be told of a packet beside name and bytes: to cut it into segments, where to send it from. */
void socket_write_control(const struct udp *udp, const struct udp_packet *packet, struct msghdr *header,
                          union socket_control *control);

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
