/* service_exec_spawn - starts the program of an exec: service, with pipes to it.
 *
 * The program has a process group of its own, no descriptor but the pipes, no blocked or ignored signals, PATH, HOME, LANG and TZ of the
 * daemon's environment beside what says which job it is, and gets SIGKILL when the thread that started it ends.
 * Thread: the executor's, which blocks all signals. Memory: the descriptors are the caller's to close, the child its to wait for.
 * Blocks until the program has been loaded. */
#pragma once

#include <sys/types.h>

#include "core/base/macros.h"

struct job;

struct child {
    pid_t pid; /* leader of its process group */
    int pid_fd; /* readable when it has ended */
    int in_fd; /* our ends, non-blocking */
    int out_fd;
    int err_fd;
};

/* -EMFILE, -ENFILE, -EAGAIN (too many processes), -ENOMEM, -ENOENT … */
NODISCARD int child_spawn(const struct job *job, struct child *ret_child);
