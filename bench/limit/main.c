/* bench-limit - bare echoes that do nothing: what the machine allows. */
#include "bench/limit/limit.h"

#include "core/base/exit_code.h"

static const struct conf_option limit_rows[] = {
#define OPTION(...) CONF_ROW(struct limit_options, __VA_ARGS__)
#include "bench/limit/limit.def"
#undef OPTION
};

static const struct conf_table limit_tables[] = {{.title = "Options", .rows = limit_rows, .row_count = ARRAY_COUNT(limit_rows)}};

static const struct conf_program limit_program = {
    .name = "bench-limit",
    .summary = "sends back what it receives, as fast as this machine can",
    .description =
        "What the dispatcher is measured against: a server on the same path through the kernel that does nothing. Prints "
        "\"listening on ADDR\" when it is ready; ends with SIGINT or SIGTERM.",
    .man_section = 1,
    .options_bytes = sizeof(struct limit_options),
    .tables = limit_tables,
    .table_count = ARRAY_COUNT(limit_tables),
};

struct limit_path {
    bool tcp;
    int (*echo)(const struct limit_options *options, int fd, struct conf_error *ret_error);
};

/* In the order of the row "path". */
static const struct limit_path limit_paths[] = {
    {false, limit_udp_recvmmsg}, {false, limit_udp_uring}, {false, limit_udp_gso},
    {true, limit_tcp_epoll},     {true, limit_tcp_uring},
};

volatile sig_atomic_t limit_stopped;

static void limit_on_signal(int signal_number)
{
    (void)signal_number;
    limit_stopped = 1;
}

static void limit_catch_signals(void)
{
    struct sigaction action = {.sa_handler = limit_on_signal};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static int limit_run(const struct limit_options *options, struct conf_error *ret_error)
{
    const struct limit_path *path = &limit_paths[options->path];
    int fd;
    if (options->connected && path->echo != limit_udp_uring)
        return conf_error_set(ret_error, "--connected is for --path udp-uring"), EXIT_CODE_USAGE;
    if (options->batch > 0 && path->echo != limit_udp_recvmmsg)
        return conf_error_set(ret_error, "--batch is for --path udp-recvmmsg"), EXIT_CODE_USAGE;
    if (options->gso && path->echo != limit_udp_recvmmsg)
        return conf_error_set(ret_error, "--gso is for --path udp-recvmmsg; udp-gso does it by itself"), EXIT_CODE_USAGE;
    if (options->min_wait_ns > 0 && path->echo != limit_tcp_uring)
        return conf_error_set(ret_error, "--min-wait is for --path tcp-uring"), EXIT_CODE_USAGE;
    if (options->buffers > 0 && (path->echo == limit_udp_recvmmsg || path->echo == limit_tcp_epoll))
        return conf_error_set(ret_error, "--buffers is for the io_uring paths"), EXIT_CODE_USAGE;
    if ((options->buffers & (options->buffers - 1)) != 0)
        return conf_error_set(ret_error, "--buffers %u: give a power of two", options->buffers), EXIT_CODE_USAGE;
    limit_catch_signals();
    int error = limit_listen(options, path->tcp, &fd, ret_error);
    if (error == 0)
        error = path->echo(options, fd, ret_error);
    return error < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
    struct limit_options options;
    struct conf_error why;
    conf_open_streams();
    int error = conf_parse(&limit_program, argc, argv, &options, NULL, &why);
    if (error == CONF_PRINTED)
        return conf_finish_output(limit_program.name);
    if (error < 0)
        return conf_fail(limit_program.name, &why);
    int exit_code = limit_run(&options, &why);
    if (exit_code != EXIT_CODE_OK)
        (void)conf_fail(limit_program.name, &why);
    conf_done(&limit_program, &options);
    return exit_code;
}
