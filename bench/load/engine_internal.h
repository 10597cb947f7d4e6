/* engine_internal - what the engine, its two transports and the protocols share. For this room only. Thread: the engine's. */
#pragma once

#include <endian.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/load/cpu.h"
#include "bench/load/engine.h"
#include "bench/load/ledger.h"
#include "bench/load/node_set.h"
#include "bench/load/protocol.h"
#include "bench/load/service_turn.h"
#include "core/base/buffer.h"
#include "core/wire/limits.h"

#define ENGINE_BATCH 64u /* datagrams in one system call */
#define ENGINE_REQUESTS_BATCH 4096u /* requests in one, at most */
#define ENGINE_EVENTS 256
#define ENGINE_SEND_BYTES (256u << 10) /* of one batch */
#define ENGINE_RECEIVE_BYTES (512u << 10)
#define ENGINE_DATAGRAM_BYTES (2 * DATAGRAM_BYTES_MAX) /* so that one that is too long shows */
#define ENGINE_KNOWN_BYTES 36u /* of an ADDRESS, before its entries */
#define ENGINE_SUPERS 7u /* super-datagrams that are received in one system call */
#define ENGINE_SUPER_BYTES ((64u << 10) + 4096u) /* of which the kernel wants room for the headers too: what has none vanishes */
#define ENGINE_CONTROL_BYTES 64u
_Static_assert(ENGINE_RECEIVE_BYTES >= ENGINE_BATCH * ENGINE_DATAGRAM_BYTES, "a batch fits");
_Static_assert(ENGINE_RECEIVE_BYTES >= ENGINE_SUPERS * ENGINE_SUPER_BYTES, "a batch of super-datagrams fits");

struct connection {
    int fd; /* −1: lost */
    uint32_t outstanding;
    uint32_t known_length; /* of the last reply that was looked at closely, for those like it; 0: none yet */
    bool writing; /* epoll tells when there is room again; TCP */
    uint8_t known[ENGINE_KNOWN_BYTES];
    uint32_t first; /* slot of the oldest request, where replies have no ID; ENGINE_NO_SLOT */
    uint32_t last;
    struct buffer out; /* not yet taken by the kernel; TCP */
    struct buffer in; /* the beginning of a reply; TCP */
    const char *failure; /* the name of the last error that its socket met; NULL: none */
    uint64_t failed_ns;
};

#define ENGINE_NO_SLOT UINT32_MAX

struct engine {
    const struct engine_config *config;
    const struct protocol *protocol;
    const volatile sig_atomic_t *interrupts;
    struct ledger ledger;
    struct schedule schedule;
    struct node_set nodes;
    struct service_turn services; /* empty where there is only one */
    int epoll_fd;
    int stopped_fd;
    uint32_t thread_index;
    struct connection *connections;
    uint32_t connection_count;
    uint32_t connections_alive;
    uint32_t turn; /* of the connections, in the open loop */
    bool refused; /* the kernel took less than it was given: come again soon */
    bool stopped; /* nothing more is sent */
    bool disconnected; /* that is why */
    bool interrupted; /* the end has been moved to the interrupt */
    bool measuring;

    /* Of the receive that is being looked at. */
    uint64_t now_ns;
    uint64_t run_planned_ns; /* run_count good replies to requests of this time have come and are not in the tally yet */
    uint32_t run_count;
    uint32_t ended; /* requests of this connection that are still in its `outstanding` */

    uint64_t measure_from_ns;
    uint64_t end_ns; /* nothing is planned from here on */
    uint64_t give_up_ns; /* what was planned before the end and has not left by now never will */
    uint64_t stopped_ns;
    uint64_t idle_ns; /* turns of --spin that found nothing, while measuring */
    uint64_t requests_max; /* of this thread */
    double rate; /* of this thread */
    uint64_t used_from_ns; /* CPU is compared over this time, for sending may go on behind the end */
    uint64_t used_for_ns;
    struct cpu_own cpu_begin;
    struct cpu_own cpu_used;

    uint32_t request_bytes;
    uint32_t unit_requests; /* group, or 1 over TCP: what is sent or not as a whole */
    uint32_t unit_bytes;
    uint32_t units_batch; /* as many fit into one batch */
    uint32_t due_first;
    uint32_t due_count;
    uint64_t due[ENGINE_REQUESTS_BATCH]; /* planned times that were taken from the schedule and not sent yet */
    uint32_t *next; /* per slot, the next one of its connection, where replies have no ID */

    struct tally tally;
    struct engine_progress progress;
    struct mmsghdr out[ENGINE_BATCH]; /* over requests[] */
    struct iovec out_bytes[ENGINE_BATCH];
    struct mmsghdr in[ENGINE_BATCH]; /* over received[] */
    struct iovec in_bytes[ENGINE_BATCH];
    uint32_t in_count;
    _Alignas(struct cmsghdr) uint8_t in_control[ENGINE_SUPERS][ENGINE_CONTROL_BYTES];
    uint8_t requests[ENGINE_SEND_BYTES]; /* one behind the other; only IDs ever change */
    uint8_t received[ENGINE_RECEIVE_BYTES];
};

/* Of the kind of server that is asked. */
const struct protocol *engine_protocol(const struct engine_config *config);

/* A reply that is not simply the next good one of its run. */
void reply_take_other(struct engine *engine, uint32_t connection, const struct ledger_entry *entry, const char *complaint);

/* A reply to that request. complaint: an error's name, or NULL when it is sound. */
static inline void reply_take(struct engine *engine, uint32_t connection, uint64_t request_id, const char *complaint)
{
    const struct ledger_entry *entry = ledger_close(&engine->ledger, request_id);
    if (LIKELY(entry && !complaint && entry->planned_ns == engine->run_planned_ns && entry->connection == connection)) {
        engine->run_count++;
        engine->ended++;
        return;
    }
    reply_take_other(engine, connection, entry, complaint);
}

/* After the last reply of a receive: brings tally and connection up to date. */
void replies_finish(struct engine *engine, uint32_t connection);

/* Where replies have no ID: that of the connection's oldest request, or 0. */
uint64_t request_oldest(struct engine *engine, uint32_t connection);

/* Opens `count` requests of one planned time and writes their IDs into engine->requests, from that request on. There must be room in the
 * ledger. */
void requests_open(struct engine *engine, uint32_t connection, uint64_t planned_ns, uint32_t first, uint32_t count);

/* Those of engine->requests that could not be sent after all. Not where replies have no ID. */
void requests_revoke(struct engine *engine, uint32_t connection, uint32_t first, uint32_t count);

/* Its socket has met an error, which no request is known to have: it is the cause for those that wait now and are never answered. */
void connection_note(struct engine *engine, uint32_t connection, int error);

/* Why a request has not been answered. */
const char *request_cause(const struct engine *engine, const struct ledger_entry *entry);

/* Its requests will be lost in their time. */
void connection_lost(struct engine *engine, uint32_t connection, int error);

/* Each sends `count` (≤ units_batch) units, and returns how many of these left; there is room in the ledger. Those that receive take
 * what is there now; false: nothing was. */
uint32_t engine_udp_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count);
bool engine_udp_receive(struct engine *engine, uint32_t connection);
void engine_udp_prepare(struct engine *engine);
uint32_t engine_tcp_send(struct engine *engine, uint32_t connection, const uint64_t *planned_ns, uint32_t count);
void engine_tcp_flush(struct engine *engine, uint32_t connection);
bool engine_tcp_receive(struct engine *engine, uint32_t connection);

/* Opens all connections and adds them to epoll. Negative errno with ret_error. */
NODISCARD int engine_connect(struct engine *engine, struct conf_error *ret_error);
void engine_disconnect(struct engine *engine);
