/* engine - one run: connections to a dispatcher, requests in a closed or an open loop, replies checked and counted.
 *
 * A loop of its own instead of core/io, so that the generator does not share what it measures, and costs less than the server:
 * epoll, recvmmsg and sendmmsg, the clock read after each receive.
 *
 * Closed loop: each connection has `depth` requests outstanding; one is sent when another has ended. Open loop: requests leave when
 * they were planned to, whatever the server does, on the connections in turn.
 * Thread: one. Memory: all is allocated before the first request, except what a TCP peer leaves unread. Blocks for the run. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/schedule.h"
#include "bench/load/tally.h"
#include "core/base/address.h"
#include "core/base/macros.h"
#include "core/conf/conf.h"

struct engine_config {
    struct address dispatcher;
    bool tcp;
    uint64_t service_id;
    uint8_t count; /* nodes asked for, 1 … ADDRESSES_MAX */
    double rate; /* requests per second; 0: closed loop */
    enum schedule_arrivals arrivals;
    uint64_t seed;
    uint32_t connections;
    uint32_t depth; /* closed loop only, ≥ pack */
    uint32_t pack; /* requests per datagram; 1 with tcp */
    uint64_t warmup_ns;
    uint64_t duration_ns;
    uint64_t timeout_ns;
    uint64_t requests_max; /* a multiple of pack; 0: as many as fit into the duration */
    pid_t server_pid; /* 0: unknown */
    bool progress; /* a line on stderr, once a second */
};

struct engine_result {
    struct tally tally;
    uint64_t unsent; /* planned, measured, and never sent */
    uint64_t measured_ns; /* how long requests were sent and counted */
    double client_cpu; /* share of a core */
    double server_cpu; /* of all its threads together; < 0: unknown */
    double server_thread_cpu; /* of its busiest thread; < 0: unknown */
    bool interrupted;
    bool disconnected; /* no connection was left before the end */
};

/* Runs until the time is over, or *interrupts is no longer 0 (what is outstanding is waited for; not when it reaches 2).
 * Negative errno with ret_error: nothing could be sent at all. */
NODISCARD int engine_run(const struct engine_config *config, const volatile sig_atomic_t *interrupts,
                         struct engine_result *ret_result, struct conf_error *ret_error);

/* How long one request is, or 0 when `pack` of them are more than a datagram holds. */
uint32_t engine_request_bytes(const struct engine_config *config);
