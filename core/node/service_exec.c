#include "core/node/service_exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/node/job.h"
#include "core/node/run.h"
#include "core/node/service_exec_spawn.h"

#define READ_BYTES 16384u
#define COMPLAINT_BYTES 200u /* of the first line on standard error */

/* One program being run. */
struct program {
    struct run *run;
    struct child child;
    const uint8_t *input; /* what its standard input is still to get */
    size_t input_length;
    int result; /* why it was told to end; 0: it was not */
    uint64_t kill_ns; /* SIGKILL then */
    bool killed;
    bool complaint_complete;
    size_t complaint_length;
    char complaint[COMPLAINT_BYTES + 1];
};

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* To the whole group; its leader is not reaped yet, so the number is still its own. ESRCH: all are gone. */
static void program_signal(const struct program *program, int number)
{
    if (kill(-program->child.pid, number) < 0)
        CHECK(errno == ESRCH || errno == EPERM);
}

static void program_end(struct program *program, int result, uint64_t now_ns)
{
    if (program->result != 0)
        return;
    program->result = result;
    program->kill_ns = now_ns + SERVICE_EXEC_GRACE_NS;
    program_signal(program, SIGTERM);
}

static void program_feed(struct program *program)
{
    ssize_t n = write(program->child.in_fd, program->input, program->input_length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        program->input += n;
        program->input_length -= (size_t)n;
    }
    if (n < 0 || program->input_length == 0)
        fd_close(&program->child.in_fd); /* EPIPE: it does not want it all, which is its business */
}

/* One piece of the output; false: nothing there now. Once the job has failed the rest is read and thrown away, so that the program
 * is not held up on its way out. */
static bool program_read_output(struct program *program)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = read(program->child.out_fd, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EINTR;
    if (n == 0) {
        fd_close(&program->child.out_fd);
        return false;
    }
    if (program->result == 0) {
        int r = run_write(program->run, bytes, (size_t)n);
        if (r < 0)
            program_end(program, r, clock_monotonic_ns());
    }
    return true;
}

static bool program_read_complaint(struct program *program)
{
    char bytes[1024];
    ssize_t n = read(program->child.err_fd, bytes, sizeof(bytes));
    if (n < 0)
        return errno == EINTR;
    if (n == 0) {
        fd_close(&program->child.err_fd);
        return false;
    }
    for (ssize_t i = 0; i < n && !program->complaint_complete; i++) {
        program->complaint_complete = bytes[i] == '\n' || program->complaint_length == COMPLAINT_BYTES;
        if (!program->complaint_complete)
            program->complaint[program->complaint_length++] = bytes[i];
    }
    return true;
}

/* When the program must be looked at again although nothing happens. */
static uint64_t program_due_ns(const struct program *program)
{
    if (program->result == 0)
        return program->run->deadline_ns;
    return program->killed ? UINT64_MAX : program->kill_ns;
}

static void program_keep_time(struct program *program, uint64_t now_ns)
{
    if (program->result == 0) {
        int r = run_check(program->run);
        if (r < 0)
            program_end(program, r, now_ns);
    } else if (!program->killed && now_ns >= program->kill_ns) {
        program_signal(program, SIGKILL);
        program->killed = true;
    }
}

enum watch {
    WATCH_EXIT,
    WATCH_WAKE,
    WATCH_IN,
    WATCH_OUT,
    WATCH_ERR,
    WATCHES,
};

/* Waits for one thing to happen and sees to it. True: the program has ended. */
static bool program_step(struct program *program)
{
    /* A job that has failed may throw its output away without room. */
    bool takes_output = program->result != 0 || run_has_room(program->run);
    struct pollfd watches[WATCHES] = {
        [WATCH_EXIT] = {.fd = program->child.pid_fd, .events = POLLIN},
        [WATCH_WAKE] = {.fd = run_wake_fd(program->run), .events = POLLIN},
        [WATCH_IN] = {.fd = program->child.in_fd, .events = POLLOUT},
        [WATCH_OUT] = {.fd = takes_output ? program->child.out_fd : -1, .events = POLLIN},
        [WATCH_ERR] = {.fd = program->child.err_fd, .events = POLLIN},
    };
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t due_ns = program_due_ns(program);
    uint64_t ns = due_ns > now_ns ? due_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    if (ppoll(watches, WATCHES, due_ns == UINT64_MAX ? NULL : &timeout, NULL) < 0) {
        CHECK(errno == EINTR || errno == ENOMEM);
        return false;
    }
    if (watches[WATCH_WAKE].revents != 0)
        run_wake_clear(program->run);
    if (watches[WATCH_IN].revents != 0)
        program_feed(program);
    if (watches[WATCH_OUT].revents != 0)
        (void)program_read_output(program);
    if (watches[WATCH_ERR].revents != 0)
        (void)program_read_complaint(program);
    program_keep_time(program, clock_monotonic_ns());
    return watches[WATCH_EXIT].revents != 0;
}

/* The leader is a zombie: whoever is left of its group is killed before its number may be used again. What they all have written is in
 * the pipes; a process that left the group may hold these open, so their end is not waited for. Reaped last: until then a signal to the
 * group can't hit strangers. */
static int program_reap(struct program *program)
{
    siginfo_t how = {.si_pid = 0};
    program_signal(program, SIGKILL);
    while (program->child.out_fd >= 0 && program->result == 0 && program_read_output(program))
        ;
    while (program->child.err_fd >= 0 && !program->complaint_complete && program_read_complaint(program))
        ;
    while (waitid(P_PID, (id_t)program->child.pid, &how, WEXITED) < 0)
        CHECK(errno == EINTR);
    if (program->result != 0)
        return program->result;
    const char *colon = program->complaint_length > 0 ? ": " : "";
    if (how.si_code != CLD_EXITED)
        return run_fail(program->run, "killed by signal %d%s%s", how.si_status, colon, program->complaint);
    if (how.si_status != 0)
        return run_fail(program->run, "exit status %d%s%s", how.si_status, colon, program->complaint);
    return 0;
}

int service_exec(struct run *run)
{
    struct program program = {.run = run};
    int r = child_spawn(run->job, &program.child);
    if (r < 0)
        return run_unable(run, "cannot start /bin/sh", r);
    program.input = run_data(run, &program.input_length);
    if (program.input_length == 0)
        fd_close(&program.child.in_fd);
    while (!program_step(&program))
        ;
    r = program_reap(&program);
    fd_close(&program.child.in_fd);
    fd_close(&program.child.out_fd);
    fd_close(&program.child.err_fd);
    fd_close(&program.child.pid_fd);
    return r;
}
