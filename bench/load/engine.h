/* engine - one thread's share of a run: connections to servers, requests in a closed or an open loop, replies checked and counted.
 *
 * A loop of its own instead of core/io, so that the generator does not share what it measures, and costs less than the server:
 * epoll, recvmmsg and sendmmsg, super-datagrams, requests written once and only their IDs changed, the clock read once per receive.
 *
 * Closed loop: each connection has `depth` requests outstanding; one is sent when another has ended. Open loop: requests leave when
 * they were planned to, whatever the server does, on the connections in turn.
 * Thread: opened by one, then run by another; progress may be read by any. Memory: all is allocated before the first request, except
 * what a TCP peer leaves unread. engine_run blocks for the run. */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/schedule.h"
#include "bench/load/source.h"
#include "bench/load/tally.h"
#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/conf/conf.h"

#define ENGINE_SERVERS_MAX 64u
#define ENGINE_THREADS_MAX 64u
#define ENGINE_SEGMENTS_MAX 64u /* of a super-datagram: UDP_MAX_SEGMENTS of Linux before 6.9 */

/* In the order of --proto. */
enum engine_proto {
    ENGINE_UDP,
    ENGINE_TCP,
    ENGINE_DNS,
    ENGINE_RESP,
};

/* In the order of --query-type. */
enum engine_query {
    ENGINE_QUERY_A,
    ENGINE_QUERY_SRV,
};

struct engine_config {
    uint32_t server_count; /* connections go to these in turn */
    struct address servers[ENGINE_SERVERS_MAX];
    struct sources sources; /* the sockets come from these in turn */
    enum engine_proto proto;
    bool echo; /* the servers send back what they get */
    bool gso; /* one send is a super-datagram */
    bool spin; /* the generator never sleeps */
    bool stream; /* TCP */
    const char *service; /* the first that dispatchers are asked for */
    uint32_t service_count; /* asked for in turn (service_turn.h) */
    uint8_t count; /* nodes asked for, 1 … ADDRESSES_MAX */
    const struct address *nodes; /* that may be named; node_count 0: any */
    uint32_t node_count;
    const char *query; /* DNS: the name */
    enum engine_query query_type;
    const char *command; /* RESP: words */
    double rate; /* requests per second; 0: closed loop */
    enum schedule_arrivals arrivals;
    uint64_t seed;
    uint32_t threads; /* not more than connections */
    uint32_t connections; /* of all threads */
    uint32_t depth; /* closed loop: outstanding on a connection, ≥ group */
    uint32_t pack; /* requests per datagram; 1 over TCP */
    uint32_t segments; /* datagrams per super-datagram; 1 without gso */
    uint32_t group; /* pack × segments: requests of one planned time */
    uint64_t warmup_ns;
    uint64_t duration_ns;
    uint64_t timeout_ns;
    uint64_t requests_max; /* a multiple of group; 0: as many as fit into the duration */
};

/* What a thread says while it runs, without order between the numbers. */
struct engine_progress {
    _Atomic uint64_t answered;
    _Atomic uint64_t lost;
    _Atomic uint64_t errors;
    _Atomic uint64_t latency_us; /* sum of the answered ones' */
};

struct engine_result {
    struct tally tally;
    uint64_t unsent; /* planned, measured, and never sent */
    uint64_t measured_ns; /* how long requests were sent and counted */
    double cpu; /* share of a core */
    double
        busy; /* share of the time in which it had something to do: ran, or waited for its core; without idle turns of --spin */
    uint32_t nodes_named;
    bool interrupted;
    bool disconnected; /* no connection was left before the end */
};

struct engine;

/* Opens the connections of the thread with that index, before anything is sent. `interrupts` counts the wishes to stop. Negative errno
 * with ret_error. */
NODISCARD int engine_new(const struct engine_config *config, uint32_t thread_index, const volatile sig_atomic_t *interrupts,
                         struct engine **ret_engine, struct conf_error *ret_error);
void engine_free(struct engine *engine);

/* Runs from start_ns until the time is over, or *interrupts is no longer 0: that is then the end of the time. What was planned before the
 * end is still sent, and what is outstanding waited for; not when *interrupts reaches 2. When the last request has been sent, one is added
 * to the eventfd stopped_fd. */
void engine_run(struct engine *engine, uint64_t start_ns, int stopped_fd, struct engine_result *ret_result);

const struct engine_progress *engine_progress_of(const struct engine *engine);

/* How many datagrams of `pack` requests one super-datagram takes, 1 … ENGINE_SEGMENTS_MAX. */
uint32_t engine_segments_fit(const struct engine_config *config);

/* The length of one request, or negative with ret_error: it can't be made, or a group of them is longer than what one send takes. */
NODISCARD int engine_request_bytes(const struct engine_config *config, struct conf_error *ret_error);
