/* service_exec - exec:NAME=COMMAND: runs a program for each job.
 *
 * The command is run by /bin/sh in a process group of its own, with the parameters on its standard input and in its environment
 * (USHER_JOB_ID, USHER_CLIENT_ID, USHER_SERVICE, USHER_SERVICE_TIME_MS, and USHER_DATA where they are no longer than 64 KiB and without
 * a zero byte). What it writes to its standard output is the result, sent while it runs. An exit status other than 0 fails the job
 * with that status and the first line of its standard error. When the service time is up, or the job is cancelled, the group gets
 * SIGTERM and SERVICE_EXEC_GRACE_NS later SIGKILL; what is left of the group when the command has ended is killed too.
 *
 * Thread: the executor's; many at once, each waits for its own child by a pidfd, so no signal handler and no wait for "any" is involved.
 * Blocks while the program runs. Memory: none that stays. */
#pragma once

#include "core/node/service.h"

#define SERVICE_EXEC_GRACE_NS UINT64_C(250000000)

service_function service_exec;
