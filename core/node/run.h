/* run - one job being run, as its service sees it: parameters, output, time limit.
 *
 * Output goes to the client in parts of up to 64 KiB while the service still runs. At most RUN_PARTS_MAX of them wait for a slow
 * client; then the service waits.
 * Thread: the executor's that runs the job. Memory: the executor's. Everything that waits ends at once when the job is cancelled or its
 * service time is up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/base/macros.h"

#define RUN_PARTS_MAX 4u

struct executor;
struct job;

struct run {
    struct executor *executor;
    struct job *job;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC: the end of the service time */
    double sleep_factor;
    struct buffer output; /* the part being filled, behind room for its header; empty before the first byte */
};

/* The job's parameters. */
const uint8_t *run_data(const struct run *run, size_t *ret_length);

/* 0; USHER_ECANCELLED: nobody wants the result any more; USHER_ESERVICETIME: the service time is up. A service that computes
 * calls it every millisecond or so. */
NODISCARD int run_check(const struct run *run);

/* Waits. 0: at_ns (CLOCK_MONOTONIC) is reached; else as run_check. */
NODISCARD int run_sleep(struct run *run, uint64_t at_ns);

/* Appends to the output, waiting while the client is slow. As run_check; -ENOMEM. */
NODISCARD int run_write(struct run *run, const void *bytes, size_t length);

/* For services that wait for other things too: whether run_write of one part would not wait; when it would, run_wake_fd becomes
 * readable as soon as it won't. */
bool run_has_room(struct run *run);

/* Readable when the job was cancelled, or after run_has_room said no; may also be for nothing: look again. run_wake_clear resets it. */
int run_wake_fd(const struct run *run);
void run_wake_clear(struct run *run);

/* Says why the job failed, in one line for the client; returns USHER_EJOBFAILED. */
int run_fail(struct run *run, const char *format, ...) PRINTF_LIKE(2, 3);

/* Nothing of the service has run, for `error` (a negative errno): the job is answered as not started, so that its client goes elsewhere.
 * `what` says what could not be done, "cannot start /bin/sh". Returns USHER_EJOBFAILED. */
int run_unable(struct run *run, const char *what, int error);
