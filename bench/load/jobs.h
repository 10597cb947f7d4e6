/* jobs - a run of whole jobs: ask a dispatcher, send the job to the node it names, wait for the result.
 *
 * Asks leave from several sockets, UDP or TCP, a random one for each job. Nodes have one TCP connection each, opened when the first job
 * goes there and shared by all.
 * Closed loop: `depth` jobs are on their way. Open loop: asks leave when they were planned to. Latency runs from the planned time of the
 * ask to the end of the result.
 * Thread: one. Memory: per job on its way before the run; nodes and what is sent to them as it comes. jobs_run blocks for the run. */
#pragma once

#include "bench/load/distribution.h"
#include "bench/load/team.h"

struct jobs_config {
    uint32_t dispatcher_count;
    struct address dispatchers[ENGINE_SERVERS_MAX];
    struct sources sources; /* the sockets come from these in turn */
    bool tcp; /* how they are asked */
    uint64_t service_id;
    bool timed; /* a job's data is its duration, drawn from service_time; else data_bytes of data */
    bool echoed; /* the result must be the data */
    bool sized; /* a job's data is data_bytes as a number, and the result as many bytes as that */
    struct distribution service_time;
    uint32_t data_bytes;
    double rate; /* jobs per second; 0: closed loop */
    enum schedule_arrivals arrivals;
    uint64_t seed;
    uint32_t connections; /* to ask from, ≥ dispatcher_count */
    uint32_t depth; /* closed loop: jobs on their way */
    uint64_t warmup_ns;
    uint64_t duration_ns;
    uint64_t timeout_ns; /* of a whole job */
    uint64_t requests_max; /* 0: as many as fit into the duration */
};

struct jobs_node_result {
    struct address address;
    uint64_t jobs; /* measured ones that it did */
    uint64_t refused; /* that it answered BUSY, or that failed there */
};

struct jobs_result {
    struct team_result base; /* of whole jobs */
    uint64_t busy; /* of the errors */
    uint64_t lost_asking; /* of the lost: no dispatcher had named a node yet */
    uint64_t lost_running;
    struct histogram ask_us; /* from sending the ask to the address */
    struct histogram waited_us; /* in the node's queue, as the node says */
    struct histogram ran_us;
    uint32_t node_count;
    struct jobs_node_result *nodes; /* on the heap: jobs_result_done */
};

void jobs_result_done(struct jobs_result *result);

/* As team_run. ret_result is to be given to jobs_result_done only after 0. */
NODISCARD int jobs_run(const struct jobs_config *config, const struct cpu_servers *servers, bool progress,
                       const volatile sig_atomic_t *interrupts, struct jobs_result *ret_result, struct conf_error *ret_error);
