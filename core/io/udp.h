/* udp - a datagram socket on a loop; the path every Request_Address takes.
 *
 * Invariant: nothing here allocates after udp_open, blocks, or grows. What can't be sent is dropped and counted; errors of one
 * peer (port unreachable) never stop the socket. An empty datagram is delivered with length 0; one longer than a receive buffer
 * is dropped and counted.
 * A socket on a wildcard address answers from the address that was asked: a connected peer takes no answer from another one.
 * Receive buffers stay valid until the batch hook has returned: on_datagram may queue pointers into them for the hook.
 * Thread: the loop's. Memory: udp_open allocates all buffers; udp_close frees them when the kernel has let go of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/macros.h"

struct loop;
struct udp;

/* What UDP over IPv4 carries at most. */
#define UDP_PAYLOAD_BYTES_MAX 65507u

/* `peer` is valid during the call, `bytes` until the batch hook has returned. */
typedef void udp_datagram_function(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length);

/* Several datagrams of one peer, of segment_bytes each, the last one perhaps shorter, that the kernel has joined. */
typedef void udp_joined_function(void *ctx, struct udp *udp, const struct address *peer, uint8_t *bytes, uint32_t length,
                                 uint32_t segment_bytes);

/* Only connected sockets: the peer's machine refused what was sent (-ECONNREFUSED), or the way there is broken (-EHOSTUNREACH, …). */
typedef void udp_error_function(void *ctx, struct udp *udp, int error);

struct udp_config {
    struct address address; /* port 0: the kernel picks, see udp_local_address */
    struct address connect; /* ADDRESS_NONE, or the only peer: connect(2), so that its refusals come to on_error at once */
    bool reuseport; /* SO_REUSEPORT: one socket per core on the same port */
    bool retry_bind; /* on EADDRINUSE try again for up to 1 s (blocks): a ring's port outlives its process a moment */
    bool segmentation; /* GRO in, GSO out: wants receive_buffer_bytes of 65536 */
    uint32_t receive_buffers; /* datagrams received at a time, a power of two, 8 … 256; default 256 */
    uint32_t receive_buffer_bytes; /* longest datagram that gets through, 64 … 65536; default 2048 */
    uint32_t send_packets; /* datagrams per submission, more just cost more submissions; default 512 */
    uint32_t send_bytes; /* of all these together, ≥ 65536; default 131072 */
    uint32_t socket_receive_bytes; /* SO_RCVBUF; 0: the system's default */
    uint32_t socket_send_bytes; /* SO_SNDBUF; likewise */
    /* How old, at best, what comes out of the socket's buffer may be in an overload: SO_RCVBUF is kept as much below
     * socket_receive_bytes as that needs (backlog.h). 0, the default: it stays. */
    uint64_t age_ns_max;
    udp_datagram_function *on_datagram;
    udp_joined_function *on_joined; /* NULL: joined ones come to on_datagram one by one */
    udp_error_function *on_error; /* NULL: errors are counted only. Called whether receiving or sending met the error */
    void *ctx;
};

void udp_config_init(struct udp_config *config);

/* -EADDRINUSE, -EADDRNOTAVAIL, -EACCES and others of bind(2); -EINVAL for a size out of range; -ENOMEM, -EMFILE. */
NODISCARD int udp_open(struct loop *loop, const struct udp_config *config, struct udp **ret_udp);

/* No handler is called any more; what was committed before is still sent. */
void udp_close(struct udp *udp);

/* With the port the kernel picked. */
const struct address *udp_local_address(const struct udp *udp);

/* Within on_datagram: when the datagram reached this machine, on the loop's clock and to the millisecond, as far as that is known:
 * while the backlog is looked at. Else the time of the batch, which is later. */
uint64_t udp_arrived_ns(const struct udp *udp);

/* Within on_datagram: under which of the machine's addresses the datagram came, for udp_send_commit_via; 0 where it doesn't matter. */
uint32_t udp_datagram_via(const struct udp *udp);

/* Room for a datagram of up to `capacity` bytes in the send pool, valid until the next call on this socket. A begin without a
 * commit is taken back by the next begin. -ENOBUFS: no room even after submitting what is queued; counted as a drop. */
NODISCARD int udp_send_begin(struct udp *udp, uint32_t capacity, uint8_t **ret_bytes);

/* Sends the first `length` ≤ capacity bytes of it to the peer, at the latest at the end of the batch. */
void udp_send_commit(struct udp *udp, const struct address *peer, uint32_t length);

/* The same as the answer to a datagram that came `via`. */
void udp_send_commit_via(struct udp *udp, const struct address *peer, uint32_t via, uint32_t length);

/* Both in one, copying. Within on_datagram and to its peer, the answer to that datagram. -ENOBUFS; -EMSGSIZE above UDP_PAYLOAD_BYTES_MAX. */
NODISCARD int udp_send(struct udp *udp, const struct address *peer, const uint8_t *bytes, uint32_t length);
