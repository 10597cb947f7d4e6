/* usher-dispatcher: arguments → directory and subscription → answering cores and node → drain → stop. */
#include "dispatcher/dispatcher.h"

static const struct admin_command commands[] = {
    {
        .name = "nodes",
        .arguments = "[SERVICE]",
        .words_max = 1,
        .help = "the directory: every node with its state, load and the age of what is known",
        .handler = dispatcher_admin_nodes,
    },
    {
        .name = "pick",
        .arguments = "SERVICE [--explain] [--region ID]",
        .words_min = 1,
        .words_max = 4,
        .help = "which node the next request would be given and why, from what; of this region or not at all; a dry run",
        .handler = dispatcher_admin_pick,
    },
};

static const struct daemon_program program = {
    .conf = &dispatcher_conf,
    .daemon_offset = offsetof(struct dispatcher_options, daemon),
    .listen_offset = offsetof(struct dispatcher_options, own.listen),
    .counter_program = COUNTER_DISPATCHER,
    .commands = commands,
    .command_count = ARRAY_COUNT(commands),
    .check = dispatcher_check,
    .start = dispatcher_start,
    .drain = dispatcher_drain,
    .stop = dispatcher_stop,
    .changed = dispatcher_changed,
    .status = dispatcher_status,
    .measure = dispatcher_measure,
    .healthy = dispatcher_healthy,
};

int main(int argc, char **argv)
{
    return daemon_main(&program, argc, argv);
}
