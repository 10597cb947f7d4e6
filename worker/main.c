/* usher-worker: runs the jobs that clients send it. */
#include "worker/options.h"
#include "worker/worker.h"

int main(int argc, char **argv)
{
    static const struct daemon_program worker = {
        .conf = &worker_conf,
        .daemon_offset = offsetof(struct worker_options, daemon),
        .listen_offset = offsetof(struct worker_options, own.listen),
        .counter_program = COUNTER_WORKER,
        .check = worker_check,
        .start = worker_start,
        .drain = worker_drain,
        .stop = worker_stop,
        .changed = worker_changed,
        .status = worker_status,
        .measure = worker_measure,
        .healthy = worker_healthy,
    };
    return daemon_main(&worker, argc, argv);
}
