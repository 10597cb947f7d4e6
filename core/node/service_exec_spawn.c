#include "core/node/service_exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/node/job.h"

#define SHELL "/bin/sh"
#define VARIABLES_MAX 8 /* of our own */
#define DATA_VARIABLE_BYTES_MAX 65536u /* the kernel takes 128 KiB for one variable */

/* What a program gets of the daemon's own environment: the rest may hold the daemon's secrets, and is none of its business. */
static const char *const passed_on[] = {"PATH", "HOME", "LANG", "TZ"};

/* The texts of our variables, one behind the other, and the list: those passed on, then these. */
struct environment {
    struct buffer texts;
    char **list;
};

static int environment_print(struct environment *environment, const struct job *job)
{
    struct buffer *texts = &environment->texts;
    const struct wire_job *wire = &job->wire;
    int r = buffer_print(texts, "USHER_JOB_ID=%" PRIu64 "%c", wire->job_id, '\0');
    if (r == 0)
        r = buffer_print(texts, "USHER_CLIENT_ID=%" PRIu64 "%c", wire->client_id, '\0');
    if (r == 0)
        r = buffer_print(texts, "USHER_SERVICE=%s%c", job->service->name, '\0');
    if (r == 0)
        r = buffer_print(texts, "USHER_SERVICE_TIME_MS=%" PRIu32 "%c", wire->service_time_ms, '\0');
    if (r < 0)
        return r;
    if (wire->data_length > DATA_VARIABLE_BYTES_MAX ||
        (wire->data_length > 0 && memchr(wire->data, '\0', wire->data_length) != NULL))
        return buffer_print(texts, "USHER_DATA_OMITTED=1%c", '\0');
    r = buffer_append(texts, "USHER_DATA=", strlen("USHER_DATA="));
    if (r == 0 && wire->data_length > 0)
        r = buffer_append(texts, wire->data, wire->data_length);
    return r == 0 ? buffer_append(texts, "", 1) : r;
}

static bool is_passed_on(const char *variable)
{
    for (size_t i = 0; i < ARRAY_COUNT(passed_on); i++) {
        size_t length = strlen(passed_on[i]);
        if (strncmp(variable, passed_on[i], length) == 0 && variable[length] == '=')
            return true;
    }
    return false;
}

static int environment_init(struct environment *environment, const struct job *job)
{
    *environment = (struct environment){.list = NULL};
    int r = environment_print(environment, job);
    if (r < 0)
        return r;
    environment->list = calloc(ARRAY_COUNT(passed_on) + VARIABLES_MAX + 1, sizeof(char *));
    if (environment->list == NULL)
        return -ENOMEM;
    size_t used = 0;
    for (char **variable = environ; *variable != NULL && used < ARRAY_COUNT(passed_on); variable++)
        if (is_passed_on(*variable))
            environment->list[used++] = *variable;
    char *text = (char *)environment->texts.bytes;
    for (size_t at = 0; at < environment->texts.length; at += strlen(text + at) + 1)
        environment->list[used++] = text + at;
    return 0;
}

static void environment_done(struct environment *environment)
{
    free(environment->list);
    buffer_done(&environment->texts);
}

enum pipe_end {
    READ_END,
    WRITE_END,
};

#define PIPES 3 /* as the child's descriptors: 0 in, 1 out, 2 err */

static enum pipe_end child_end(int pipe)
{
    return pipe == STDIN_FILENO ? READ_END : WRITE_END;
}

static enum pipe_end our_end(int pipe)
{
    return pipe == STDIN_FILENO ? WRITE_END : READ_END;
}

static void pipes_close(int pipes[PIPES][2], bool ours, bool childs)
{
    for (int i = 0; i < PIPES; i++) {
        if (ours && pipes[i][our_end(i)] >= 0)
            close(pipes[i][our_end(i)]);
        if (childs && pipes[i][child_end(i)] >= 0)
            close(pipes[i][child_end(i)]);
    }
}

static int pipes_open(int pipes[PIPES][2])
{
    for (int i = 0; i < PIPES; i++)
        pipes[i][0] = pipes[i][1] = -1;
    for (int i = 0; i < PIPES; i++) {
        /* Non-blocking is a property of our end alone: each end has a file description of its own. */
        if (pipe2(pipes[i], O_CLOEXEC) < 0 || fcntl(pipes[i][our_end(i)], F_SETFL, O_NONBLOCK) < 0) {
            int error = -errno;
            pipes_close(pipes, true, true);
            return error;
        }
    }
    return 0;
}

/* What the child does with the descriptors, signals and memory that it shares or has copied, up to execve; only system calls, since
 * other threads may have held any lock. It dies with its executor, and so with the daemon, be it of SIGKILL. Never returns. */
static _Noreturn __attribute__((noinline)) void child_main(int pipes[PIPES][2], char *const arguments[],
                                                           char *const environment[], pid_t parent, volatile int *ret_error)
{
    static const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &usual, NULL); /* refused for SIGKILL, SIGSTOP and those of the C library */
    bool good = setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    /* Copies first, so that no pipe's number is overwritten before its turn. */
    int copies[PIPES];
    for (int i = 0; i < PIPES && good; i++) {
        copies[i] = fcntl(pipes[i][child_end(i)], F_DUPFD, PIPES);
        good = copies[i] >= 0;
    }
    for (int i = 0; i < PIPES && good; i++)
        good = dup2(copies[i], i) >= 0;
    /* No descriptor but the three, whoever forgot O_CLOEXEC. */
    if (good && close_range(PIPES, ~0U, 0) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
        if (getppid() != parent)
            _exit(EXIT_FAILURE); /* it died before prctl: nobody would kill us */
        execve(SHELL, arguments, environment);
    }
    *ret_error = -errno;
    _exit(EXIT_FAILURE);
}
/* posix_spawn(3) can't set a death signal, and fork(2) would copy the page tables of a daemon that may be large: vfork, whose child
 * stays in child_main. This thread blocks all signals, so that no handler runs in the child. */
static int spawn(int pipes[PIPES][2], char *command, char *const environment[], pid_t *ret_pid)
{
    char shell[] = "sh", option[] = "-c";
    char *const arguments[] = {shell, option, command, NULL};
    volatile int error = 0;
    pid_t parent = getpid();
    pid_t pid = vfork();
    if (pid == 0)
        child_main(pipes, arguments, environment, parent, &error);
    if (pid < 0)
        return -errno;
    if (error < 0) {
        while (waitpid(pid, NULL, 0) < 0)
            CHECK(errno == EINTR);
        return error;
    }
    *ret_pid = pid;
    return 0;
}

/* Without a pidfd we could not wait for it beside other things. */
static void child_discard(pid_t pid)
{
    kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0)
        CHECK(errno == EINTR);
}

int child_spawn(const struct job *job, struct child *ret_child)
{
    struct environment environment;
    int pipes[PIPES][2];
    int r = environment_init(&environment, job);
    if (r == 0)
        r = pipes_open(pipes);
    if (r < 0) {
        environment_done(&environment);
        return r;
    }
    pid_t pid = 0;
    int pid_fd = -1;
    char *command = strdup(job->service->command); /* execve wants it writable */
    r = command != NULL ? spawn(pipes, command, environment.list, &pid) : -ENOMEM;
    free(command);
    environment_done(&environment);
    pipes_close(pipes, false, true);
    if (r == 0) {
        pid_fd = pidfd_open(pid, 0);
        if (pid_fd < 0) {
            r = -errno;
            child_discard(pid);
        }
    }
    if (r < 0) {
        pipes_close(pipes, true, false);
        return r;
    }
    *ret_child = (struct child){
        .pid = pid,
        .pid_fd = pid_fd,
        .in_fd = pipes[STDIN_FILENO][WRITE_END],
        .out_fd = pipes[STDOUT_FILENO][READ_END],
        .err_fd = pipes[STDERR_FILENO][READ_END],
    };
    return 0;
}
