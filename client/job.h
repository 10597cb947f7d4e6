/* job - one job's way through its tries: which failures are retried, when, and what its end says (requirements C7, C8).
 *
 * Pure steps: the shell (client/job_call.h) asks for an address, connects and sends when a step says so, and reports what came of it.
 *
 * A try that did not start is made again elsewhere until the job's wait is over. One that may have started is made again only when
 * the job is idempotent, at most JOB_STARTS_MAX times in all, each with a wait of its own.
 * Every address is used for one try (C8).
 * Thread: one. Memory: none beside the struct. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/budget.h"
#include "core/base/address.h"
#include "core/base/random.h"
#include "core/wire/limits.h"

#define JOB_STARTS_MAX 3

/* Tries right after each other before the job pauses. */
#define JOB_QUICK_TRIES 3

/* What a node gets beyond wait and service time until its answer counts as lost. A node stops an overrunning job within 250 ms; the
 * rest is for the network and a loaded machine. */
#define JOB_GRACE_NS UINT64_C(2000000000)

/* Long enough for one lost SYN, which the kernel sends again after 1 s. */
#define JOB_CONNECT_NS UINT64_C(1500000000)

enum job_started {
    JOB_NOT_STARTED = 0,
    JOB_STARTED = 1,
    JOB_MAYBE_STARTED = 2,
};

enum job_step {
    JOB_ASK, /* ask for an address now, leaving out job->excludes */
    JOB_PAUSE, /* the same at job->resume_at_ns */
    JOB_DONE, /* job->error and job->started say how it ended */
};

struct job_description {
    uint64_t wait_ns;
    uint32_t service_time_min_ms;
    uint32_t service_time_max_ms;
    bool idempotent;
};

struct job {
    struct job_description description;
    uint32_t service_time_ms; /* drawn at random from the range (C7) */
    uint64_t start_by_ns; /* when the wait is over */
    uint64_t resume_at_ns;
    uint32_t tries; /* nodes tried */
    uint32_t quick_tries;
    uint32_t pauses;
    uint32_t starts; /* tries that may have started */
    struct address node; /* of the try under way, or the last one */
    struct address excludes[EXCLUDES_MAX]; /* nodes that turned the job down, the latest first */
    uint32_t exclude_count;
    int error;
    enum job_started started;
};

/* The first step is to ask. */
void job_begin(struct job *job, const struct job_description *description, uint64_t now_ns, struct random_state *random);

/* No dispatcher named a node. hopeful: there is reason to expect one soon (it worked before, or nodes were left out). Of a service
 * that has no node now one is always expected, until the wait is over. */
enum job_step job_on_no_address(struct job *job, int error, bool hopeful, uint64_t now_ns, struct random_state *random);

/* A try begins: the job goes to this node. */
void job_on_address(struct job *job, const struct address *node);

/* The milliseconds of wait to tell the node: what is left, at least 1. */
uint32_t job_wait_left_ms(const struct job *job, uint64_t now_ns);

/* When the node's answer counts as lost, if the job is sent now. */
uint64_t job_answer_by_ns(const struct job *job, uint64_t now_ns);

/* The node could not be reached, so the job was not sent. */
enum job_step job_on_unreached(struct job *job, int error, uint64_t now_ns, struct random_state *random);

/* The node's queue is full. */
enum job_step job_on_busy(struct job *job, uint32_t retry_after_ms, struct budget *budget, uint64_t now_ns,
                          struct random_state *random);

/* The node answered with an ERROR. */
enum job_step job_on_error(struct job *job, int error, bool started, uint64_t now_ns, struct random_state *random);

/* The job was sent, and no whole answer came: the connection broke, or time is up. JOB_STARTED when a part of its result had come. */
enum job_step job_on_lost(struct job *job, int error, enum job_started started, uint64_t now_ns, struct random_state *random);

/* The result is there. Always JOB_DONE. */
enum job_step job_on_result(struct job *job);
