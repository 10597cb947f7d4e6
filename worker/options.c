#include "worker/options.h"

static const struct conf_option own_rows[] = {
#define OPTION(...) CONF_ROW(struct worker_own_options, __VA_ARGS__)
#include "worker/options.def"
#undef OPTION
};

static const struct conf_table tables[] = {
    {
        .title = "Options",
        .rows = own_rows,
        .row_count = ARRAY_COUNT(own_rows),
        .offset = offsetof(struct worker_options, own),
    },
    {NODE_TABLE(struct worker_options, node)},
    {DAEMON_TABLE(struct worker_options, daemon)},
};

const struct conf_program worker_conf = {
    .name = "usher-worker",
    .summary = "runs the jobs that clients send it",
    .description = "A worker offers services by name, takes jobs for them over TCP, runs the oldest first and answers with the "
                   "result. It tells "
                   "the region's resource managers how loaded it is, so that dispatchers can send clients to it.\n\n"
                   "Workers may come and go at any time. On SIGTERM a worker says that it leaves, takes jobs for a moment "
                   "longer, finishes what "
                   "runs, tells the clients of jobs that it has not started so, and exits with 0.",
    .man_section = 8,
    .options_bytes = sizeof(struct worker_options),
    .tables = tables,
    .table_count = ARRAY_COUNT(tables),
};
