#include "dispatcher/options.h"

static const struct conf_option own_rows[] = {
#define OPTION(...) CONF_ROW(struct dispatcher_own_options, __VA_ARGS__)
#include "dispatcher/options.def"
#undef OPTION
};

static const struct conf_table tables[] = {
    {
        .title = "Dispatcher options",
        .rows = own_rows,
        .row_count = ARRAY_COUNT(own_rows),
        .offset = offsetof(struct dispatcher_options, own),
    },
    {NODE_TABLE(struct dispatcher_options, node)},
    {DAEMON_TABLE(struct dispatcher_options, daemon)},
};

const struct conf_program dispatcher_conf = {
    .name = "usher-dispatcher",
    .summary = "tells clients which node should serve them",
    .description =
        "Answers Request_Address over UDP and TCP from its own memory: the directory of nodes that it gets from a resource "
        "manager. "
        "It is a node like a worker too, and takes jobs at a lower share, unless --no-jobs is given.\n\n"
        "When the resource manager is gone it serves its last directory and says so in `usherctl status`, its log and "
        "its metrics; /healthz stays 200, since its clients are served, and names it.",
    .man_section = 8,
    .options_bytes = sizeof(struct dispatcher_options),
    .tables = tables,
    .table_count = ARRAY_COUNT(tables),
};
