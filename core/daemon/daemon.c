#include "core/daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/errors.h"
#include "core/base/exit_code.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "core/base/version.h"
#include "core/daemon/internal.h"

const struct conf_option daemon_option_rows[DAEMON_OPTIONS] = {
#define OPTION(...) CONF_ROW(struct daemon_options, __VA_ARGS__)
#include "core/daemon/options.def"
#undef OPTION
};

/* A mistake in what the operator wrote. With -t this is what was asked for: the exit code says "wrong", not "used wrongly". */
static int fail_configuration(const struct daemon *daemon, const struct conf_error *error)
{
    int code = conf_fail(daemon->program->conf->name, error);
    for (int i = 1; i < daemon->argc; i++)
        if (strcmp(daemon->argv[i], "-t") == 0 || strcmp(daemon->argv[i], "--test") == 0)
            return EXIT_CODE_FAILED;
    return code;
}

static int fail_start(const struct daemon *daemon, const struct conf_error *error)
{
    if (daemon->own->log_format == 0)
        conf_fail(daemon->program->conf->name, error);
    else
        LOG(MESSAGE_START_FAILED, LOG_TEXT("reason", error->text));
    return EXIT_CODE_FAILED;
}

/* What a daemon needs beside the connections of its service: loops, sockets, rm, the admin socket, metrics, files. */
#define DESCRIPTORS_RESERVED 64u

/* As many descriptors and as much locked memory (rings) as the machine lets us have. */
static void raise_limits(void)
{
    static const __rlimit_resource_t resources[] = {RLIMIT_NOFILE, RLIMIT_MEMLOCK};
    for (size_t i = 0; i < ARRAY_COUNT(resources); i++) {
        struct rlimit limit;
        if (getrlimit(resources[i], &limit) < 0)
            continue;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(resources[i], &limit); /* in vain is no harm: what we cannot have is counted where it is missed */
    }
}

uint32_t daemon_connections_max(uint32_t shares, uint32_t connections_max, uint32_t expected)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return connections_max;
    uint64_t each = limit.rlim_cur > DESCRIPTORS_RESERVED ? (limit.rlim_cur - DESCRIPTORS_RESERVED) / shares : 1;
    if (each >= connections_max)
        return connections_max;
    each = each > 0 ? each : 1;
    if (each * shares < expected)
        LOG(MESSAGE_CONNECTIONS_LIMITED, LOG_NUMBER("connections", each * shares), LOG_NUMBER("descriptors", limit.rlim_cur));
    return (uint32_t)each;
}

static void set_identity(struct daemon *daemon)
{
    struct random_state random;
    random_init_from_kernel(&random);
    while (daemon->boot_id == 0)
        daemon->boot_id = random_next(&random);
    daemon->start_ns = clock_monotonic_ns();
    daemon->start_wall_ms = clock_wall_ms();
}

static int open_loop(struct daemon *daemon, struct conf_error *ret_error)
{
    char reason[LOOP_REASON_BYTES] = "";
    struct loop_config config;
    loop_config_init(&config);
    config.kind = (enum loop_kind)daemon->own->io; /* the option's alternatives stand in the enum's order */
    config.reason = reason;
    int error = loop_new(&config, &daemon->loop);
    if (error < 0) {
        conf_error_set(ret_error, "cannot start the event loop: %s%s", reason[0] ? reason : error_text(error),
                       daemon_limits_remedy(error));
        return error;
    }
    if (loop_fallback_reason(daemon->loop)[0])
        LOG(MESSAGE_IO_FALLBACK, LOG_TEXT("reason", loop_fallback_reason(daemon->loop)));
    daemon_look_at_loop(daemon, daemon->loop);
    return 0;
}

void daemon_look_at_loop(struct daemon *daemon, const struct loop *loop)
{
    if (daemon->io_shortage[0] || !loop_shortage(loop)[0])
        return;
    snprintf(daemon->io_shortage, sizeof(daemon->io_shortage), "%s", loop_shortage(loop));
    LOG(MESSAGE_IO_SHORTAGE, LOG_TEXT("reason", daemon->io_shortage));
}

static int open_admin(struct daemon *daemon, struct conf_error *ret_error)
{
    daemon->tables[0] = (struct admin_table){daemon_commands, daemon_command_count, &daemon->self};
    daemon->tables[1] = (struct admin_table){daemon->program->commands, daemon->program->command_count, &daemon->state};
    struct admin_config config = {daemon->loop, daemon->admin_path, daemon->tables, ARRAY_COUNT(daemon->tables)};
    int error = admin_server_new(&config, &daemon->admin);
    if (error == -EADDRINUSE)
        conf_error_set(
            ret_error,
            "the admin socket %s is taken, by another daemon that answers there or by another kind of file: stop that, or "
            "choose another --listen, --state-dir or --admin",
            daemon->admin_path);
    else if (error < 0)
        conf_error_set(ret_error, "cannot make the admin socket %s: %s; choose another --admin", daemon->admin_path,
                       error_text(error));
    return error;
}

static void log_started(const struct daemon *daemon)
{
    char listen[ADDRESS_TEXT_BYTES];
    LOG(MESSAGE_STARTED, LOG_TEXT("listen", address_format(&daemon->listen, listen)), LOG_TEXT("admin", daemon->admin_path),
        LOG_TEXT("io", loop_kind_name(daemon->loop)), LOG_TEXT("version", USHER_VERSION));
}

static int open_everything(struct daemon *daemon, struct conf_error *ret_error)
{
    int error = daemon_make_paths(daemon, ret_error);
    if (error == 0)
        error = open_loop(daemon, ret_error);
    if (error == 0) {
        error = daemon_open_signals(daemon);
        if (error < 0)
            conf_error_set(ret_error, "cannot take signals: %s", error_text(error));
    }
    if (error == 0)
        error = open_admin(daemon, ret_error);
    if (error == 0)
        error = daemon_open_http(daemon, ret_error);
    if (error == 0)
        error = daemon->program->start(daemon, daemon->options, &daemon->state, ret_error);
    return error;
}

static void close_everything(struct daemon *daemon)
{
    timer_stop(&daemon->accepts_timer);
    http_server_free(daemon->http);
    admin_server_free(daemon->admin);
    if (daemon->state)
        daemon->program->stop(daemon->state);
    daemon_close_signals(daemon);
    timer_stop(&daemon->drain_timer);
    loop_free(daemon->loop);
}

/* From a checked configuration to the end. */
static int live(struct daemon *daemon)
{
    struct conf_error why = {.text = ""};
    int code = EXIT_CODE_OK;
    bool started = false;
    raise_limits();
    set_identity(daemon);
    if (open_everything(daemon, &why) < 0) {
        code = fail_start(daemon, &why);
    } else {
        started = true;
        log_started(daemon);
        daemon_watch_accepts(daemon);
        int error = loop_run(daemon->loop);
        if (error < 0) {
            LOG(MESSAGE_LOOP_FAILED, LOG_TEXT("reason", error_text(error)));
            code = EXIT_CODE_FAILED;
        }
        LOG(MESSAGE_STOPPED);
    }
    close_everything(daemon);
    daemon_leave_paths(daemon, started);
    return code;
}

static int read_configuration(struct daemon *daemon, struct conf_error *ret_error)
{
    const struct daemon_program *program = daemon->program;
    int result = conf_parse(program->conf, daemon->argc, daemon->argv, daemon->options, NULL, ret_error);
    if (result != 0)
        return result;
    memcpy(&daemon->listen, (const char *)daemon->options + program->listen_offset, sizeof(daemon->listen));
    result = program->check(daemon->options, ret_error);
    if (result == 0 && daemon->own->test)
        result = daemon_check_paths(daemon, ret_error);
    if (result < 0)
        conf_done(program->conf, daemon->options);
    return result;
}

int daemon_main(const struct daemon_program *program, int argc, char **argv)
{
    struct conf_error why;
    conf_open_streams();
    struct daemon *daemon = calloc(1, sizeof(*daemon));
    void *options = calloc(1, program->conf->options_bytes);
    int code = EXIT_CODE_OK;
    if (!daemon || !options) {
        conf_error_set(&why, "out of memory");
        free(daemon);
        free(options);
        return conf_fail(program->conf->name, &why);
    }
    *daemon =
        (struct daemon){.program = program, .argc = argc, .argv = argv, .options = options, .self = daemon, .signal_fd = -1};
    daemon->own = (struct daemon_options *)((char *)options + program->daemon_offset);
    int result = read_configuration(daemon, &why);
    if (result == CONF_PRINTED) {
        code = conf_finish_output(program->conf->name);
    } else if (result < 0) {
        code = fail_configuration(daemon, &why);
    } else {
        /* The options' alternatives stand in the order of enum log_level, and text before json. */
        log_configure(program->conf->name, (enum log_level)daemon->own->log_level, daemon->own->log_format == 1);
        if (daemon->own->test) {
            printf("%s: the configuration is right\n", program->conf->name);
            code = conf_finish_output(program->conf->name);
        } else {
            code = live(daemon);
        }
        conf_done(program->conf, options);
    }
    free(options);
    free(daemon);
    return code;
}

struct loop *daemon_loop(const struct daemon *daemon)
{
    return daemon->loop;
}

enum loop_kind daemon_loop_kind(const struct daemon *daemon)
{
    return loop_fallback_reason(daemon->loop)[0] ? LOOP_EPOLL : (enum loop_kind)daemon->own->io;
}

const char *daemon_state_dir(const struct daemon *daemon)
{
    return daemon->state_dir;
}

uint64_t daemon_boot_id(const struct daemon *daemon)
{
    return daemon->boot_id;
}

void daemon_set_listen_address(struct daemon *daemon, const struct address *address)
{
    daemon->listen = *address;
}

struct address daemon_address_of(const struct daemon_options *options, const struct address *listen)
{
    return options->advertise.family != ADDRESS_NONE ? options->advertise : *listen;
}

struct address daemon_advertised_address(const struct daemon *daemon)
{
    return daemon_address_of(daemon->own, &daemon->listen);
}

/* A socket bound to one would only hear what is sent to many. */
static int check_one_host(const char *option, const struct address *address, struct conf_error *ret_error)
{
    char text[ADDRESS_TEXT_BYTES];
    if (!address_is_for_many(address))
        return 0;
    conf_error_set(ret_error, "--%s %s: this is %s: give an address of this machine (`ip addr` shows them)", option,
                   address_format(address, text), address_flaw(address));
    return -EINVAL;
}

int daemon_check_listen(const struct daemon_options *options, const struct address *listen, struct conf_error *ret_error)
{
    char text[ADDRESS_TEXT_BYTES];
    int error = check_one_host("listen", listen, ret_error);
    if (error == 0)
        error = check_one_host("http", &options->http, ret_error);
    if (error < 0)
        return error;
    if (!address_is_loopback(listen) && !options->insecure) {
        conf_error_set(
            ret_error,
            "--listen %s: nothing is authenticated yet, so only loopback (127.0.0.1) is allowed; where everybody who can reach "
            "this address may steer the cluster, add --insecure",
            address_format(listen, text));
        return -EINVAL;
    }
    if (options->http.family != ADDRESS_NONE && !address_is_loopback(&options->http) && !options->insecure) {
        conf_error_set(
            ret_error,
            "--http %s: nothing is authenticated yet, so only loopback (127.0.0.1) is allowed; where everybody who can reach "
            "this address may use what is served there, add --insecure",
            address_format(&options->http, text));
        return -EINVAL;
    }
    if (address_is_wildcard(listen) && options->advertise.family == ADDRESS_NONE) {
        conf_error_set(ret_error, "--listen %s: others need to know one address of this machine; add --advertise ip:port",
                       address_format(listen, text));
        return -EINVAL;
    }
    const char *flaw = options->advertise.family != ADDRESS_NONE ? address_flaw(&options->advertise) : NULL;
    if (flaw) {
        conf_error_set(ret_error,
                       "--advertise %s: others cannot reach that (%s); give one address of this machine, with its port",
                       address_format(&options->advertise, text), flaw);
        return -EINVAL;
    }
    return 0;
}

const char *daemon_limits_remedy(int error)
{
    switch (error) {
    case -EMFILE: return "; allow this process more open files (ulimit -n)";
    case -ENFILE: return "; allow this machine more open files (sysctl fs.file-max)";
    case -EAGAIN: return "; allow more threads and processes (ulimit -u, the cgroup's pids.max)";
    case -ENOMEM: return "; allow more memory (ulimit -v and -l, the cgroup's memory.max)";
    default: return "";
    }
}

int daemon_fail_listen(struct conf_error *ret_error, const char *option, const struct address *address, int error)
{
    char text[ADDRESS_TEXT_BYTES];
    const char *remedy = "";
    if (error == -EADDRINUSE)
        remedy = "; another program has this port (`ss -lntup` shows which): stop it or choose another";
    else if (error == -EADDRNOTAVAIL)
        remedy = "; this machine does not have this address: `ip addr` shows those it has";
    else if (error == -EACCES)
        remedy = "; ports below 1024 need root: choose a higher one";
    else
        remedy = daemon_limits_remedy(error);
    conf_error_set(ret_error, "cannot listen on --%s %s: %s%s", option, address_format(address, text), error_text(error), remedy);
    return error;
}
