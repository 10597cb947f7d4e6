/* announcement - what one node, this one or a server attached to it, tells its resource managers, on its way there: over datagrams or HTTP, with
 * a timer, and answers that come back. When to send what to whom is heartbeat.c's; what is said, and what an answer means, the owner's.
 *
 * Invariant: over HTTP first. Where both ways lead to one rm, the later sequence is in the datagram, which overtakes; the other way round rm
 * would take that for a replay, and not answer.
 * Thread: the loop's. Memory: members of their owners. Nothing blocks. */
#pragma once

#include "core/base/counters.h"
#include "core/io/loop.h"
#include "core/io/timer.h"
#include "core/io/udp.h"
#include "core/node/heartbeat.h"
#include "core/node/rm_http.h"

/* Sockets for heartbeats and their answers, for one announcement or several. */
struct announcement_sockets {
    struct loop *loop;
    struct address bind_ip; /* ADDRESS_NONE: none. From the service's IP rm sees who speaks, and firewalls are simpler */
    udp_datagram_function *on_answer;
    void *ctx;
    struct udp *ipv4; /* NULL: nobody of this family is spoken to */
    struct udp *ipv6;
};

/* As udp_open. There already: 0. */
NODISCARD int announcement_sockets_open(struct announcement_sockets *sockets, enum address_family family);
void announcement_sockets_close(struct announcement_sockets *sockets);

static inline struct udp *announcement_socket(const struct announcement_sockets *sockets, uint8_t family)
{
    return family == ADDRESS_IPV4 ? sockets->ipv4 : sockets->ipv6;
}

/* ctx: of struct announcement. on_turn, on_change and on_ack may be NULL. */
struct announcement_events {
    /* What is to be said now; the trailer and, of a heartbeat, time and admin are set already. */
    void (*fill_register)(void *ctx, struct wire_register *registration);
    void (*fill_heartbeat)(void *ctx, struct wire_heartbeat *heartbeat);
    /* Before it is looked whether this rm gets something. */
    void (*on_turn)(void *ctx, uint32_t rm_index);
    /* The rm is in another state, by its answer or its silence: text says why, or is "". */
    void (*on_change)(void *ctx, uint32_t rm_index, const char *text);
    /* The same for an ERROR, or what over HTTP stands for one. */
    void (*on_error)(void *ctx, uint32_t rm_index, const char *text);
    /* An acknowledgement that counts. */
    void (*on_ack)(void *ctx, uint32_t rm_index, const struct wire_heartbeat_ack *ack);
    /* After something was due, or heard. */
    void (*on_look)(void *ctx);
};

struct announcement {
    const struct announcement_events *events;
    void *ctx;
    struct loop *loop;
    struct counters *counters;
    struct announcement_sockets *sockets;
    struct address node;
    uint64_t boot_id;
    uint64_t request_base; /* request IDs are this and the sequence */
    struct heartbeats heartbeats;
    struct rm_http *https[HEARTBEAT_RMS_MAX]; /* NULL: datagrams */
    struct timer timer;
};

/* All fields before `heartbeats` are set. Bits of `http`: which rm are spoken to over HTTP. As udp_open; nothing is sent yet. */
NODISCARD int announcement_open(struct announcement *announcement, const struct address *rms, uint32_t rm_count, uint64_t http);
void announcement_close(struct announcement *announcement);

/* Sends what is due now, and whatever will be when its time comes. heartbeats_init was called. */
void announcement_send(struct announcement *announcement);

/* What came in a datagram. `find` says who a request ID belongs to; NULL: nobody. */
void announcement_read(struct counters *counters, const struct address *peer, const uint8_t *bytes, uint32_t length,
                       struct announcement *(*find)(void *ctx, uint64_t request_id), void *ctx);
