#include "core/node/service_exec_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/node/job.h"

#define SHELL "/bin/sh"
#define DATA_VARIABLE_BYTES_MAX 65536u /* the kernel takes 128 KiB for one variable */
#define VARIABLE_PREFIX "USHER_"

/* The texts of our variables, one behind the other, and the list: the daemon's own environment, then these. */
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

static int environment_init(struct environment *environment, const struct job *job)
{
    *environment = (struct environment){.list = NULL};
    int r = environment_print(environment, job);
    if (r < 0)
        return r;
    size_t count = 8; /* ours and the NULL */
    for (char **variable = environ; *variable != NULL; variable++)
        count++;
    environment->list = calloc(count, sizeof(char *));
    if (environment->list == NULL)
        return -ENOMEM;
    size_t used = 0;
    for (char **variable = environ; *variable != NULL; variable++)
        if (strncmp(*variable, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0)
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

/* A fresh group, no blocked or ignored signals (executors block all), and no descriptor but the three, whoever forgot O_CLOEXEC. */
static int spawn(int pipes[PIPES][2], const char *command, char *const environment[], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    int error = 0;
    for (int i = 0; i < PIPES && error == 0; i++)
        error = posix_spawn_file_actions_adddup2(&actions, pipes[i][child_end(i)], i);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, PIPES);
    if (error == 0) {
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        char shell[] = "sh", option[] = "-c";
        char *text = strdup(command);
        char *const arguments[] = {shell, option, text, NULL};
        error = text == NULL ? ENOMEM : posix_spawn(ret_pid, SHELL, &actions, &attributes, arguments, environment);
        free(text);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
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
    r = spawn(pipes, job->service->command, environment.list, &pid);
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
