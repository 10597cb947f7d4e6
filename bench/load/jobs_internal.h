/* jobs_internal - what the loop of jobs and its two sides, dispatchers and nodes, share. For this room only. Thread: the run's. */
#pragma once

#include "bench/load/cpu.h"
#include "bench/load/jobs.h"
#include "bench/load/ledger.h"
#include "bench/load/link.h"
#include "bench/load/node_set.h"
#include "core/wire/address_path.h"
#include "core/wire/frame.h"

#define JOBS_SCRATCH_BYTES (512u << 10)
#define JOBS_PARAMETER_BYTES 32u

enum job_state {
    JOB_ASKING,
    JOB_RUNNING,
};

struct job { /* by its ledger slot */
    uint64_t asked_ns;
    uint64_t submitted_ns; /* to its node */
    uint64_t work_ns; /* how long it was drawn to take; 1 where nothing was drawn */
    uint32_t node;
    uint32_t result_bytes; /* so far */
    enum job_state state;
};

struct jobs_asker {
    struct link link; /* of a UDP one, the socket alone */
    uint32_t asking; /* jobs */
    bool has_feedback; /* on the last job that began here, for the next request to carry */
    struct wire_feedback feedback;
    const char *failure; /* the name of the last error that its socket met, of no job in particular; NULL: none */
    uint64_t failed_ns;
};

struct jobs_node {
    struct link link;
    struct address address;
    uint32_t running; /* jobs */
    uint64_t jobs; /* as in jobs_node_result */
    uint64_t refused;
    double work_ns; /* of the jobs that ended here, the older the less: what they were to take, */
    double ran_ns; /* and took */
};

struct jobs {
    const struct jobs_config *config;
    const struct cpu_servers *servers;
    const volatile sig_atomic_t *interrupts;
    struct jobs_result *result;
    struct tally *tally; /* the result's */
    struct ledger ledger;
    struct job *slots;
    struct schedule schedule;
    struct random_state random;
    struct node_set set; /* of nodes[], with the same indexes */
    struct jobs_node *nodes;
    uint32_t nodes_room;
    struct jobs_asker *askers;
    uint32_t askers_alive;
    int epoll_fd;
    uint64_t client_id;
    uint8_t *data; /* data_bytes of the pattern */
    bool refused; /* a socket took less than it was given */
    bool stopped;
    bool interrupted; /* the end has been moved to the interrupt */
    bool measuring;
    uint64_t now_ns;
    uint64_t start_ns;
    uint64_t measure_from_ns;
    uint64_t end_ns;
    uint64_t give_up_ns; /* as an engine's */
    uint64_t stopped_ns;
    uint64_t report_at_ns;
    uint64_t reported;
    uint64_t used_from_ns;
    struct cpu_own own_begin;
    struct cpu_watch watch;
    uint8_t scratch[JOBS_SCRATCH_BYTES];
};

/* epoll's tag: which side, and the index there. */
enum jobs_side {
    JOBS_ASKER,
    JOBS_NODE,
};

static inline uint64_t jobs_tag(enum jobs_side side, uint32_t index)
{
    return (uint64_t)side << 32 | index;
}

/* The open job of that ID, or NULL; *ret_entry is its ledger entry. */
struct job *job_find(struct jobs *jobs, uint64_t id, const struct ledger_entry **ret_entry);

/* Its end. complaint: an error's name, or NULL when its result is there. */
void job_end(struct jobs *jobs, uint64_t id, const char *complaint);

/* Its node says that it could not begin within its wait limit: lost, and counts as the whole timeout, for the limit was made of that. */
void job_expire(struct jobs *jobs, uint64_t id);

/* No result can come any more, for the reason given. */
void job_lose(struct jobs *jobs, uint64_t id, const char *complaint);

/* Loses every job that waits at that asker or node. */
void jobs_end_all(struct jobs *jobs, enum jobs_side side, uint32_t index, const char *complaint);

/* Hands over every whole frame that has come on the connection. Negative error: it is closed. */
typedef void jobs_frame_function(struct jobs *jobs, uint32_t index, const struct frame *frame);
NODISCARD int jobs_receive(struct jobs *jobs, struct link *link, uint32_t index, jobs_frame_function *take);

/* Opens all askers. Negative errno with ret_error. */
NODISCARD int askers_open(struct jobs *jobs, struct conf_error *ret_error);
void askers_close(struct jobs *jobs);

/* Begins a job that was planned for then. False: no room now, try again soon. */
NODISCARD bool asker_ask(struct jobs *jobs, uint64_t planned_ns);

/* The job that a request of this asker began has ended at its node. */
void asker_tell(struct jobs *jobs, uint32_t index, const struct job *job, enum wire_outcome outcome);
void asker_on_event(struct jobs *jobs, uint32_t index, uint32_t events);

/* Sends the job to the node that an answer has named. */
void node_submit(struct jobs *jobs, uint64_t id, const struct address *address, uint64_t dispatcher_boot_id);
void node_on_event(struct jobs *jobs, uint32_t index, uint32_t events);
void nodes_close(struct jobs *jobs);
