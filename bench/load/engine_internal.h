/* engine_internal - what the engine and its two transports share. For this room only. Thread: the engine's. */
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/load/cpu.h"
#include "bench/load/engine.h"
#include "bench/load/ledger.h"
#include "core/base/buffer.h"
#include "core/wire/frame.h"
#include "core/wire/limits.h"

#define ENGINE_BATCH 64 /* datagrams in one system call */
#define ENGINE_EVENTS 256
#define ENGINE_SCRATCH_BYTES (256u << 10)

struct connection {
    int fd; /* −1: lost */
    uint32_t outstanding;
    bool writing; /* epoll tells when there is room again; TCP */
    struct buffer out; /* not yet taken by the kernel; TCP */
    struct buffer in; /* the beginning of a frame; TCP */
};

struct engine {
    const struct engine_config *config;
    const volatile sig_atomic_t *interrupts;
    struct tally *tally;
    struct ledger ledger;
    struct schedule schedule;
    int epoll_fd;
    struct connection *connections;
    uint32_t connections_alive;
    uint32_t turn; /* of the connections, in the open loop */
    bool refused; /* the kernel took less than it was given: come again soon */
    bool stopped; /* nothing more is sent */
    bool disconnected; /* that is why */
    uint64_t now_ns;
    uint64_t measure_from_ns;
    uint64_t end_ns; /* nothing is planned from here on */
    uint64_t stopped_ns;
    uint64_t report_at_ns; /* of the line of progress */
    uint64_t reported; /* answers at its last time */
    uint32_t due_first;
    uint32_t due_count;
    uint64_t due[ENGINE_BATCH]; /* planned times that were taken from the schedule and not sent yet */
    uint32_t request_bytes;
    uint8_t request[DATAGRAM_BYTES_MAX]; /* of which each request is a copy */
    bool measuring;
    uint64_t used_from_ns; /* CPU is compared over this time, for sending may go on behind the end */
    uint64_t used_for_ns;
    uint64_t own_begin_ns;
    uint64_t own_used_ns;
    struct cpu_use server_use;
    struct cpu_sample server_begin;
    struct cpu_sample server_end;
    struct mmsghdr messages[ENGINE_BATCH];
    struct iovec vectors[ENGINE_BATCH];
    uint8_t scratch[ENGINE_SCRATCH_BYTES]; /* datagrams to send or received; what a stream brought */
};
_Static_assert(ENGINE_SCRATCH_BYTES >= ENGINE_BATCH * 2 * DATAGRAM_BYTES_MAX,
               "a batch fits, and a datagram that is too long shows");

/* A further request, planned for then. There must be room in the ledger. */
void request_write(struct engine *engine, uint32_t connection, uint64_t planned_ns, uint8_t *bytes);

/* One that could not be sent after all. */
void request_revoke(struct engine *engine, const uint8_t *bytes);

/* A frame that came over that connection. */
void reply_take(struct engine *engine, uint32_t connection, const struct frame *frame);

/* Its requests will be lost in their time. */
void connection_lost(struct engine *engine, uint32_t connection, int error);

/* Each sends `count` (≤ ENGINE_BATCH) datagrams of `pack` requests, and returns how many of these left; there is room in the ledger.
 * Those that receive take what is there now. */
uint32_t engine_udp_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count);
void engine_udp_receive(struct engine *engine, uint32_t connection);
uint32_t engine_tcp_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count);
void engine_tcp_flush(struct engine *engine, uint32_t connection);
void engine_tcp_receive(struct engine *engine, uint32_t connection);

/* Opens all connections and adds them to epoll. Negative errno with ret_error. */
NODISCARD int engine_connect(struct engine *engine, struct conf_error *ret_error);
void engine_disconnect(struct engine *engine);
