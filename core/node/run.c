#include "core/node/run.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/node/executors_internal.h"

const uint8_t *run_data(const struct run *run, size_t *ret_length)
{
    *ret_length = run->job->wire.data_length;
    return run->job->wire.data;
}

static int run_check_at(const struct run *run, uint64_t now_ns)
{
    if (atomic_load_explicit(&run->job->stopped, memory_order_seq_cst) ||
        atomic_load_explicit(&run->executor->executors->ending, memory_order_seq_cst))
        return USHER_ECANCELLED;
    return now_ns >= run->deadline_ns ? USHER_ESERVICETIME : 0;
}

int run_check(const struct run *run)
{
    return run_check_at(run, clock_monotonic_ns());
}

int run_wake_fd(const struct run *run)
{
    return run->executor->wake_fd;
}

void run_wake_clear(struct run *run)
{
    eventfd_t count;
    if (eventfd_read(run->executor->wake_fd, &count) < 0)
        CHECK(errno == EAGAIN);
}

/* Until woken or until_ns. A wake-up that was meant for an earlier job is for nothing: callers look again. */
static void run_doze(struct run *run, uint64_t now_ns, uint64_t until_ns)
{
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    struct pollfd wake = {.fd = run->executor->wake_fd, .events = POLLIN};
    if (ppoll(&wake, 1, &timeout, NULL) > 0)
        run_wake_clear(run);
}

int run_sleep(struct run *run, uint64_t at_ns)
{
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        int r = run_check_at(run, now_ns);
        if (r < 0 || now_ns >= at_ns)
            return r;
        run_doze(run, now_ns, at_ns < run->deadline_ns ? at_ns : run->deadline_ns);
    }
}

bool run_has_room(struct run *run)
{
    struct job *job = run->job;
    if (atomic_load_explicit(&job->parts_unsent, memory_order_relaxed) < RUN_PARTS_MAX) {
        atomic_store_explicit(&job->waits_for_room, false, memory_order_relaxed);
        return true;
    }
    atomic_store_explicit(&job->waits_for_room, true, memory_order_seq_cst);
    return atomic_load_explicit(&job->parts_unsent, memory_order_seq_cst) < RUN_PARTS_MAX;
}

static int run_wait_for_room(struct run *run)
{
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        int r = run_check_at(run, now_ns);
        if (r < 0 || run_has_room(run))
            return r;
        run_doze(run, now_ns, run->deadline_ns);
    }
}

/* A part is a whole RESULT frame; the loop fills in the header. */
static int run_hand_over(struct run *run)
{
    int r = run_wait_for_room(run);
    if (r < 0)
        return r;
    struct job_part *part = malloc(sizeof(*part));
    if (part == NULL)
        return -ENOMEM;
    *part = (struct job_part){.job = run->job, .frame = run->output};
    run->output = (struct buffer){.bytes = NULL};
    atomic_fetch_add_explicit(&run->job->parts_unsent, 1, memory_order_relaxed);
    executor_hand_over(run->executor, part);
    return 0;
}

int run_write(struct run *run, const void *bytes, size_t length)
{
    static const uint8_t head[RESULT_HEAD_BYTES];
    const uint8_t *at = bytes;
    while (length > 0) {
        /* Only now: the last part of the output goes with the job's end. */
        if (run->output.length == RESULT_HEAD_BYTES + RESULT_PART_BYTES_MAX) {
            int r = run_hand_over(run);
            if (r < 0)
                return r;
        }
        if (run->output.length == 0 && buffer_append(&run->output, head, sizeof(head)) < 0)
            return -ENOMEM;
        size_t room = RESULT_HEAD_BYTES + RESULT_PART_BYTES_MAX - run->output.length;
        size_t now = length < room ? length : room;
        if (buffer_append(&run->output, at, now) < 0)
            return -ENOMEM;
        at += now;
        length -= now;
    }
    return 0;
}

int run_fail(struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->job->text, sizeof(run->job->text), format, arguments);
    va_end(arguments);
    return USHER_EJOBFAILED;
}

int run_unable(struct run *run, const char *what, int error)
{
    run->job->started = false;
    run->job->unable = error;
    return run_fail(run, "%s: %s", what, error_text(error));
}
