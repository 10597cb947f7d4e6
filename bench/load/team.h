/* team - a run from beginning to end: an engine on each thread, all begun at one time, their counts added up, both sides' CPU.
 *
 * Thread: the program's first, which looks on: it samples the servers' CPU and writes the line of progress. Blocks for the run. */
#pragma once

#include "bench/load/cpu.h"
#include "bench/load/engine.h"

struct team_result {
    struct tally tally;
    uint64_t unsent; /* planned, measured, and never sent */
    uint64_t measured_ns; /* how long requests were sent and counted */
    double client_cpu; /* shares of a core: all threads together */
    double client_busy; /* share of the time in which the busiest thread had something to do */
    double server_cpu; /* of all servers' threads together; < 0: unknown */
    double server_thread_cpu; /* of the busiest of these; < 0: unknown */
    uint32_t nodes_named; /* different ones, by what one thread has seen at most */
    bool interrupted;
    bool disconnected; /* a thread had no connection left before the end */
};

/* *interrupts grows with each wish to stop (engine_run). Negative errno with ret_error: nothing could be sent at all. */
NODISCARD int team_run(const struct engine_config *config, const struct cpu_servers *servers, bool progress,
                       const volatile sig_atomic_t *interrupts, struct team_result *ret_result, struct conf_error *ret_error);
