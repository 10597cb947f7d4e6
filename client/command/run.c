#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client/command/command.h"
#include "client/command/report.h"
#include "core/base/clock.h"

struct run_options {
    struct common_options common;
    struct run_own_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "client/command/run.def"
#undef OPTION
    } own;
};

static const struct conf_option run_rows[] = {
#define OPTION(...) CONF_ROW(struct run_own_options, __VA_ARGS__)
#include "client/command/run.def"
#undef OPTION
};

static const struct conf_table run_tables[] = {
    {.title = "Options", .rows = run_rows, .row_count = ARRAY_COUNT(run_rows), .offset = offsetof(struct run_options, own)},
    {.title = "Whom to ask, and how",
     .rows = common_rows,
     .row_count = COMMON_ROWS,
     .offset = offsetof(struct run_options, common)},
};

const struct conf_program run_program = {
    .name = "usher run",
    .summary = "runs jobs on the nodes that dispatchers name",
    .description =
        "A single job's result, of at most 64 MiB, goes to standard output. With --repeat a summary is printed; with --json one "
        "object that has "
        "every "
        "job (its result cut at 4096 bytes) and the summary.\n"
        "\n"
        "A job that no node has started is tried elsewhere until --wait is over. One that may have been started is tried again "
        "only "
        "with --idempotent. Ctrl-C cancels what is under way and prints the summary; a second one ends at once.\n"
        "\n"
        "Ends with 0 when all jobs have a result, with 3 when no dispatcher answered, with 4 when no eligible node offers the "
        "service, otherwise with 1.",
    .man_section = 1,
    .options_bytes = sizeof(struct run_options),
    .tables = run_tables,
    .table_count = ARRAY_COUNT(run_tables),
};

/* File descriptors beside one connection for each parallel job. */
#define RUN_SPARE_FDS 64

/* How long the library may sleep before progress and Ctrl-C are looked at. */
#define RUN_POLL_MS 100

struct run;

struct run_slot {
    struct run *run;
    uint64_t number; /* of the job in it, from 1 */
    uint64_t call_id; /* 0: free */
};

struct run {
    const struct run_options *options;
    struct usher_client *client;
    struct usher_job job;
    struct run_slot *slots;
    uint32_t slots_used;
    uint64_t begun;
    bool output_gone; /* stdout was closed */
    bool json_begun; /* a job was printed already */
    int broken; /* why no more jobs can be started; 0 */
    uint64_t started_ns;
    bool shows_progress;
    struct report report;
};

static volatile sig_atomic_t run_interrupts;

static void run_on_signal(int signal_number)
{
    (void)signal_number;
    if (run_interrupts++ > 0)
        _exit(EXIT_CODE_FAILED);
}

static void run_catch_signals(void)
{
    struct sigaction action = {.sa_handler = run_on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static bool run_is_stopping(const struct run *run)
{
    return run_interrupts > 0 || run->output_gone || run->broken;
}

static double run_elapsed_s(const struct run *run)
{
    return (double)(clock_monotonic_ns() - run->started_ns) / (double)NS_PER_S;
}

/* A single job without JSON: its result is the output. */
static bool run_is_plain(const struct run *run)
{
    return run->options->own.repeat == 1 && !run->options->common.json;
}

static void run_print_result(struct run *run, const struct run_slot *slot, const struct usher_result *result)
{
    if (run->options->common.json) {
        json_t *job = report_job_to_json(slot->number, result);
        fputs(run->json_begun ? ",\n" : "\n", stdout);
        if (job)
            (void)json_dumpf(job, stdout, COMMAND_JSON_FLAGS);
        json_decref(job);
        run->json_begun = true;
    } else if (run_is_plain(run) && result->error == 0) {
        if (result->data_bytes > 0) /* an empty result has no data to point at */
            conf_write_output(result->data, result->data_bytes);
        if (isatty(STDOUT_FILENO) && result->data_bytes > 0 && result->data[result->data_bytes - 1] != '\n')
            putchar('\n'); /* for the prompt; in a pipe the bytes are the service's alone */
    } else if (run_is_plain(run)) {
        fprintf(stderr, "%s: %s%s\n", run_program.name, result->message,
                result->started == USHER_NOT_STARTED ? " (the job was not started)" : "");
    }
    if (ferror(stdout))
        run->output_gone = true;
}

static void run_on_result(void *context, const struct usher_result *result)
{
    struct run_slot *slot = context;
    struct run *run = slot->run;
    report_add(&run->report, result);
    run_print_result(run, slot, result);
    slot->call_id = 0;
    run->slots_used--;
}

static void run_start_jobs(struct run *run)
{
    for (uint32_t i = 0; i < run->options->own.parallel && run->begun < run->options->own.repeat; i++) {
        struct run_slot *slot = &run->slots[i];
        if (slot->call_id)
            continue;
        slot->number = run->begun + 1;
        int error = usher_job_start(run->client, &run->job, run_on_result, slot, &slot->call_id);
        if (error < 0) {
            run->broken = error;
            return;
        }
        run->begun++;
        run->slots_used++;
    }
}

static void run_show_progress(const struct run *run, bool last)
{
    const struct report *report = &run->report;
    double elapsed_s = run_elapsed_s(run);
    uint64_t done = report->ok + report->failed;
    if (!run->shows_progress)
        return;
    fprintf(stderr, "\r\033[K");
    if (!last)
        fprintf(stderr, "%" PRIu64 " of %u jobs done, %" PRIu64 " failed, %u under way, %.0f per second", done,
                run->options->own.repeat, report->failed, run->slots_used, elapsed_s > 0 ? (double)done / elapsed_s : 0);
    fflush(stderr);
}

static void run_cancel_jobs(struct run *run)
{
    for (uint32_t i = 0; i < run->options->own.parallel; i++)
        if (run->slots[i].call_id)
            usher_cancel(run->client, run->slots[i].call_id);
}

static void run_jobs(struct run *run)
{
    uint64_t shown_at_ns = run->started_ns;
    while (!run_is_stopping(run)) {
        if (run->slots_used < run->options->own.parallel)
            run_start_jobs(run);
        if (run->slots_used == 0)
            break;
        int error = usher_client_poll(run->client, RUN_POLL_MS);
        if (error < 0)
            run->broken = error;
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns - shown_at_ns < RUN_POLL_MS * NS_PER_MS)
            continue;
        run_show_progress(run, false);
        shown_at_ns = now_ns;
    }
    run_cancel_jobs(run);
    run_show_progress(run, true);
}

static int run_finish(struct run *run)
{
    struct usher_stats stats;
    usher_client_stats(run->client, &stats);
    if (run->options->common.json) {
        json_t *summary = report_to_json(&run->report, &stats, run_elapsed_s(run));
        fputs("],\"summary\":", stdout);
        if (summary)
            (void)json_dumpf(summary, stdout, COMMAND_JSON_FLAGS);
        fputs("}\n", stdout);
        json_decref(summary);
    } else if (!run_is_plain(run)) {
        report_print(&run->report, &stats, run_elapsed_s(run), stdout);
    }
    int exit_code = command_flush(&run_program);
    if (exit_code != EXIT_CODE_OK || run->output_gone || run_interrupts > 0)
        return EXIT_CODE_FAILED;
    if (run->broken < 0) {
        fprintf(stderr, "%s: no more jobs could be started: %s\n", run_program.name, usher_error_text(run->broken));
        return EXIT_CODE_FAILED;
    }
    return report_exit_code(&run->report);
}

/* Each parallel job needs a connection. False: why not. */
static bool run_raise_fd_limit(uint32_t parallel, char ret_message[static USHER_MESSAGE_BYTES])
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)parallel + RUN_SPARE_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return true;
    snprintf(ret_message, USHER_MESSAGE_BYTES,
             "--parallel %u needs %llu file descriptors, and the limit is %llu; raise it with ulimit -n", parallel,
             (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return false;
}

/* Up to `capacity` bytes of a file; -EFBIG when there are more. */
static int run_read_all(int fd, uint8_t *bytes, size_t capacity, size_t *ret_length)
{
    size_t length = 0;
    uint8_t beyond;
    for (;;) {
        bool full = length == capacity;
        ssize_t got = full ? read(fd, &beyond, 1) : read(fd, bytes + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        if (full)
            return -EFBIG;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

/* --data: text, @FILE or @-. `bytes` holds USHER_DATA_BYTES_MAX. */
static int run_read_data(const char *data, uint8_t *bytes, size_t *ret_length)
{
    *ret_length = 0;
    if (!data)
        return 0;
    if (data[0] != '@') {
        *ret_length = strlen(data);
        if (*ret_length > USHER_DATA_BYTES_MAX)
            return -EFBIG;
        memcpy(bytes, data, *ret_length);
        return 0;
    }
    bool standard = strcmp(data, "@-") == 0;
    int fd = standard ? STDIN_FILENO : open(data + 1, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = run_read_all(fd, bytes, USHER_DATA_BYTES_MAX, ret_length);
    if (!standard)
        close(fd);
    return error;
}

/* False: why not. */
static bool run_prepare_data(const struct run_options *options, uint8_t *bytes, size_t *ret_length,
                             char ret_message[static USHER_MESSAGE_BYTES])
{
    int error = run_read_data(options->own.data, bytes, ret_length);
    if (error == 0)
        return true;
    if (error == -EFBIG)
        snprintf(ret_message, USHER_MESSAGE_BYTES, "--data: more than %d bytes; a job takes no more", USHER_DATA_BYTES_MAX);
    else
        snprintf(ret_message, USHER_MESSAGE_BYTES, "--data: cannot read %s: %s", options->own.data + 1, usher_error_text(error));
    return false;
}

/* A wrong service name shows at the first job; it is a mistake in the command line like any other. */
static int run_all(struct run *run)
{
    run->started_ns = clock_monotonic_ns();
    run->shows_progress = run->options->own.repeat > 1 && isatty(STDERR_FILENO);
    run_start_jobs(run);
    if (run->broken == -EINVAL)
        return command_fail(&run_program, run->options->common.json, -EINVAL, usher_client_message(run->client));
    run_catch_signals();
    if (run->options->common.json)
        fputs("{\"jobs\":[", stdout);
    run_jobs(run);
    return run_finish(run);
}

static int run_with(const struct run_options *options, struct run *run, uint8_t *data)
{
    const struct run_own_options *own = &options->own;
    char message[USHER_MESSAGE_BYTES];
    size_t data_bytes;
    int exit_code;
    run->options = options;
    run->slots = calloc(own->parallel, sizeof(*run->slots));
    if (!run->slots)
        return command_fail(&run_program, options->common.json, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < own->parallel; i++)
        run->slots[i].run = run;
    if (!run_prepare_data(options, data, &data_bytes, message) || !run_raise_fd_limit(own->parallel, message))
        return command_fail(&run_program, options->common.json, -EINVAL, message);
    run->job = (struct usher_job){
        .service = own->service,
        .data = data,
        .data_bytes = data_bytes,
        .service_time_min_ms = (uint32_t)(own->service_time.min_ns / NS_PER_MS),
        .service_time_max_ms = (uint32_t)(own->service_time.max_ns / NS_PER_MS),
        .wait_ms = (uint32_t)(own->wait_ns / NS_PER_MS),
        .idempotent = own->idempotent,
    };
    if (!command_client(&run_program, &options->common, own->fault_time_ns, &run->client, &exit_code))
        return exit_code;
    exit_code = run_all(run);
    usher_client_free(run->client);
    return exit_code;
}

int run_command(int argc, char *const *argv)
{
    struct run_options options;
    int exit_code;
    if (!command_parse(&run_program, argc, argv, &options, &exit_code))
        return exit_code;
    struct run *run = calloc(1, sizeof(*run));
    uint8_t *data = malloc(USHER_DATA_BYTES_MAX);
    if (run && data)
        exit_code = run_with(&options, run, data);
    else
        exit_code = command_fail(&run_program, options.common.json, -ENOMEM, "out of memory");
    if (run)
        free(run->slots);
    free(run);
    free(data);
    conf_done(&run_program, &options);
    return exit_code;
}
