/* udp_vector - a datagram socket's buffers for recvmmsg and sendmmsg, by which both backends move datagrams.
 *
 * Thread: the loop's. Nothing here blocks or, after _new, allocates. Buffers are valid until the next receive. */
#pragma once

#include <stdbool.h>

#include "core/base/macros.h"
#include "core/io/backend.h"

struct udp_vector;

/* spins: udp_vector_receive will be called all the time, not only when something has come. NULL: no memory. */
struct udp_vector *udp_vector_new(const struct udp_config *config, bool spins);
void udp_vector_free(struct udp_vector *vector); /* NULL is a no-op */

/* One recvmmsg. Returns whether it brought so much that there will be more by the time all of it is answered. Events:
 * udp_event_datagram, udp_event_receive_failed. */
bool udp_vector_receive(struct udp *udp, struct udp_vector *vector);

/* Sends all of udp->packets and resets them. */
void udp_vector_flush(struct udp *udp, struct udp_vector *vector);
