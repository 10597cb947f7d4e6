/* usher-rm: arguments → cluster, reception, subscribers → what Redis holds → heartbeats in, directories out → last flush → stop. */
#include "rm/api.h"
#include "rm/rm.h"

static const struct admin_command commands[] = {
    {
        .name = "nodes",
        .arguments = "[SERVICE]",
        .words_max = 1,
        .help = "every node with its state, load, age of its heartbeat, services and clock offset",
        .handler = rm_admin_nodes,
    },
    {
        .name = "services",
        .arguments = "",
        .help = "every service with its nodes and their average load",
        .handler = rm_admin_services,
    },
    {
        .name = "subscribers",
        .arguments = "",
        .help = "the dispatchers that follow this rm",
        .handler = rm_admin_subscribers,
    },
    {
        .name = "drain",
        .arguments = "NODE [--reason TEXT]",
        .words_min = 1,
        .words_max = ADMIN_WORDS_MAX, /* a reason that was not quoted is told so */
        .help = "dispatchers shall not hand the node out any more",
        .handler = rm_admin_drain,
    },
    {
        .name = "ready",
        .arguments = "NODE [--reason TEXT]",
        .words_min = 1,
        .words_max = ADMIN_WORDS_MAX, /* a reason that was not quoted is told so */
        .help = "dispatchers shall hand the node out again",
        .handler = rm_admin_ready,
    },
    {
        .name = "weight",
        .arguments = "NODE auto|N",
        .words_min = 2,
        .words_max = 2,
        .help = "the node's weight shall be N, or again what its capacity and use make it",
        .handler = rm_admin_weight,
    },
};

static const struct daemon_program program = {
    .conf = &rm_conf,
    .daemon_offset = offsetof(struct rm_options, daemon),
    .listen_offset = offsetof(struct rm_options, own.listen),
    .counter_program = COUNTER_RM,
    .commands = commands,
    .command_count = ARRAY_COUNT(commands),
    .check = rm_check,
    .start = rm_start,
    .stop = rm_stop,
    .changed = rm_changed,
    .reloaded = rm_reloaded,
    .status = rm_status,
    .measure = rm_measure,
    .healthy = rm_healthy,
    .http = rm_http,
    .http_body_bytes_max = API_BODY_BYTES_MAX,
    .http_connections_max = API_CONNECTIONS_MAX,
};

int main(int argc, char **argv)
{
    return daemon_main(&program, argc, argv);
}
