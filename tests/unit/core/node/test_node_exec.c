/* exec: services: programs as jobs, and what is left of them afterwards: nothing (reliability: job overruns). */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/node/job.h"
#include "core/node/service_exec.h"
#include "core/node/service_exec_spawn.h"
#include "tests/unit/core/node/node_fixture.h"

/* Runs one job of exec:x=COMMAND. */
static struct client *run(struct fixture *fixture, const char *command, const struct job_request *request)
{
    char item[400];
    const char *items[] = {item};
    snprintf(item, sizeof(item), "exec:x=%s", command);
    fixture_services(fixture, items, 1);
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    struct job_request full = *request;
    full.service = "x";
    full.job_id = 1;
    client_submit(client, &full);
    return client;
}

static void expect_failure(struct client *client, enum wire_error_code code, const char *text)
{
    const struct reply *reply = client_await(client, 1);
    cr_assert_eq(reply->type, FRAME_TYPE_ERROR);
    cr_expect_eq(reply->error.code, code);
    cr_expect(reply->error.started);
    if (text != NULL)
        cr_expect_str_eq(reply->error.text, text);
}

static void expect_output(struct client *client, const char *text)
{
    const struct reply *reply = client_await(client, 1);
    cr_assert_eq(reply->type, FRAME_TYPE_RESULT, "%s", reply->error.text);
    cr_assert_eq(buffer_append(&client->data, "", 1), 0);
    cr_expect_str_eq((const char *)client->data.bytes, text);
}

static void exit_status(struct fixture *fixture)
{
    struct client *client = run(fixture, "echo lost; echo boom >&2; echo more >&2; exit 3", &(struct job_request){0});
    expect_failure(client, WIRE_ERROR_JOB_FAILED, "exit status 3: boom");
}

Test(node_exec, exit_status_and_first_complaint_are_told)
{
    on_each_loop(exit_status);
}

static void silent_failure(struct fixture *fixture)
{
    expect_failure(run(fixture, "exit 1", &(struct job_request){0}), WIRE_ERROR_JOB_FAILED, "exit status 1");
}

Test(node_exec, failure_without_a_word_is_told)
{
    on_each_loop(silent_failure);
}

static void missing_command(struct fixture *fixture)
{
    struct client *client = run(fixture, "no-such-command-here", &(struct job_request){0});
    expect_failure(client, WIRE_ERROR_JOB_FAILED, NULL);
    cr_expect_not_null(strstr(client->replies[0].error.text, "exit status 127: "), "%s", client->replies[0].error.text);
    cr_expect_not_null(strstr(client->replies[0].error.text, "not found"));
}

Test(node_exec, missing_command_is_told)
{
    on_each_loop(missing_command);
}

static void killed(struct fixture *fixture)
{
    expect_failure(run(fixture, "kill -SEGV $$", &(struct job_request){0}), WIRE_ERROR_JOB_FAILED, "killed by signal 11");
}

Test(node_exec, death_by_a_signal_is_told)
{
    on_each_loop(killed);
}

static void parameters(struct fixture *fixture)
{
    struct client *client =
        run(fixture, "cat; echo \"/$USHER_SERVICE/$USHER_JOB_ID/$USHER_CLIENT_ID/$USHER_SERVICE_TIME_MS/$USHER_DATA\"",
            &(struct job_request){.data = "in and out", .client_id = 77, .service_time_ms = 5000});
    expect_output(client, "in and out/x/1/77/5000/in and out\n");
}

static void environment(struct fixture *fixture)
{
    cr_assert_eq(setenv("REDISCLI_AUTH", "secret", 1), 0);
    cr_assert_eq(setenv("TZ", "Asia/Tokyo", 1), 0);
    expect_output(run(fixture, "printf '%s' \"${REDISCLI_AUTH-none} $TZ ${PATH:+path}\"", &(struct job_request){0}),
                  "none Asia/Tokyo path");
}

Test(node_exec, environment_of_the_daemon_is_not_passed_on)
{
    on_each_loop(environment);
}

static bool two_replies_came(const struct fixture *fixture)
{
    return fixture->clients[0].reply_count == 2;
}

static void no_descriptors(struct fixture *fixture)
{
    struct rlimit before;
    fixture_services(fixture, (const char *const[]){"exec:x=true"}, 1);
    fixture_start(fixture);
    struct client *client = fixture_connect(fixture);
    fixture_turn(fixture);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    client_submit(client, &(struct job_request){.service = "x", .job_id = 1});
    const struct reply *reply = client_await(client, 1);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(reply->type, FRAME_TYPE_ERROR);
    cr_expect_eq(reply->error.code, WIRE_ERROR_JOB_FAILED);
    cr_expect_not(reply->error.started);
    cr_expect_str_eq(reply->error.text, "cannot start /bin/sh: Too many open files");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_UNABLE), 1);
    cr_expect_eq(fixture_stats(fixture).unable, -EMFILE);
    /* It has not run, so it may come again. */
    client_submit(client, &(struct job_request){.service = "x", .job_id = 1});
    fixture_until(fixture, two_replies_came, "an answer to the job that came again");
    cr_expect_eq(fixture_count(fixture, COUNTER_JOBS_OK), 1);
}

Test(node_exec, program_that_cannot_be_started_is_answered_not_started)
{
    on_each_loop(no_descriptors);
}

/* Plays the daemon: starts the program, tells its number and dies of SIGKILL. */
static void start_and_die(int told_fd)
{
    static const struct service service = {.name = "x", .command = "sleep 100"};
    static struct job job = {.service = &service};
    struct child child;
    if (child_spawn(&job, &child) == 0 && write(told_fd, &child.pid, sizeof(child.pid)) == sizeof(child.pid))
        pause();
    _exit(1);
}

Test(node_exec, program_dies_with_a_daemon_that_is_killed)
{
    int told[2];
    pid_t program;
    cr_assert_eq(pipe(told), 0);
    pid_t daemon = fork();
    if (daemon == 0)
        start_and_die(told[1]);
    cr_assert_eq(read(told[0], &program, sizeof(program)), (ssize_t)sizeof(program));
    struct pollfd ended = {.fd = pidfd_open(program, 0), .events = POLLIN};
    cr_assert_geq(ended.fd, 0);
    kill(daemon, SIGKILL);
    cr_expect_eq(poll(&ended, 1, 10000), 1);
}

Test(node_exec, parameters_come_by_stdin_and_environment)
{
    on_each_loop(parameters);
}

static void long_parameters(struct fixture *fixture)
{
    static char data[(64 << 10) + 2];
    memset(data, 'x', sizeof(data) - 1);
    struct client *client =
        run(fixture, "wc -c; echo \"${USHER_DATA-none} $USHER_DATA_OMITTED\"", &(struct job_request){.data = data});
    expect_output(client, "65537\nnone 1\n");
}

Test(node_exec, parameters_too_long_for_the_environment_are_said_to_be_omitted)
{
    on_each_loop(long_parameters);
}

static void unread_parameters(struct fixture *fixture)
{
    static char data[300001];
    memset(data, 'x', sizeof(data) - 1);
    expect_output(run(fixture, "exec <&-; echo fine", &(struct job_request){.data = data}), "fine\n");
}

Test(node_exec, program_need_not_read_its_parameters)
{
    on_each_loop(unread_parameters);
}

static void large_output(struct fixture *fixture)
{
    struct client *client = run(fixture, "seq 100000 199999", &(struct job_request){0});
    cr_assert_eq(client_await(client, 1)->type, FRAME_TYPE_RESULT);
    cr_assert_eq(client->data.length, 700000);
    for (uint32_t i = 0; i < 100000; i++)
        cr_assert_eq(strtoul((const char *)client->data.bytes + (size_t)i * 7, NULL, 10), 100000 + i);
}

Test(node_exec, large_output_comes_whole_and_in_order)
{
    on_each_loop(large_output);
}

static void own_state(struct fixture *fixture)
{
    /* Descriptors 0, 1, 2 and the one of ls itself; none of signals 1 to 28 blocked or ignored (posix_spawn ignores glibc's own two). */
    struct client *client =
        run(fixture, "ls /proc/self/fd | wc -l; for i in SigBlk SigIgn; do grep $i /proc/self/status | tail -c 8; done",
            &(struct job_request){0});
    expect_output(client, "4\n0000000\n0000000\n");
}

Test(node_exec, program_inherits_no_descriptors_and_no_signal_mask)
{
    on_each_loop(own_state);
}

/* Gone, or a zombie that whoever adopted it has not fetched yet. */
static bool is_dead(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return true;
    const char *read = fgets(line, sizeof(line), file);
    fclose(file);
    const char *state = strrchr(line, ')');
    return read == NULL || state == NULL || state[2] == 'Z' || state[2] == 'X';
}

static pid_t left_behind;
static bool left_behind_is_dead(const struct fixture *fixture)
{
    (void)fixture;
    return is_dead(left_behind);
}

/* The command prints the number of a process that it started; that one must not outlive the job. */
static void expect_nothing_left(struct fixture *fixture, const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_not_null(fgets(text, sizeof(text), file));
    fclose(file);
    unlink(path);
    left_behind = (pid_t)strtol(text, NULL, 10);
    cr_assert_gt(left_behind, 1);
    fixture_until(fixture, left_behind_is_dead, "the job's other process ends");
}

static void make_path(char path[static 32])
{
    snprintf(path, 32, "/tmp/usher-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void overruns(struct fixture *fixture)
{
    char path[32], command[300];
    make_path(path);
    snprintf(command, sizeof(command), "sleep 97 & echo $! >%s; sleep 97", path);
    struct client *client = run(fixture, command, &(struct job_request){.service_time_ms = 100});
    uint64_t start_ns = clock_monotonic_ns();
    expect_failure(client, WIRE_ERROR_SERVICE_TIME_EXCEEDED, NULL);
    cr_expect_lt(clock_monotonic_ns() - start_ns, NS_PER_S);
    client_await_closed(client);
    expect_nothing_left(fixture, path);
}

Test(node_exec, whole_group_ends_when_the_service_time_is_up)
{
    on_each_loop(overruns);
}

static void stubborn(struct fixture *fixture)
{
    char path[32], command[300];
    make_path(path);
    snprintf(command, sizeof(command), "trap '' TERM; echo $$ >%s; sleep 97; sleep 97; sleep 97", path);
    struct client *client = run(fixture, command, &(struct job_request){.service_time_ms = 100});
    uint64_t start_ns = clock_monotonic_ns();
    expect_failure(client, WIRE_ERROR_SERVICE_TIME_EXCEEDED, NULL);
    uint64_t took_ns = clock_monotonic_ns() - start_ns;
    cr_expect_geq(took_ns, SERVICE_EXEC_GRACE_NS, "it had its chance");
    cr_expect_lt(took_ns, 2 * NS_PER_S);
    expect_nothing_left(fixture, path);
}

Test(node_exec, program_that_ignores_sigterm_is_killed)
{
    on_each_loop(stubborn);
}

static void orphans(struct fixture *fixture)
{
    char path[32], command[300];
    make_path(path);
    snprintf(command, sizeof(command), "sleep 97 & echo $! >%s; echo done", path);
    uint64_t start_ns = clock_monotonic_ns();
    expect_output(run(fixture, command, &(struct job_request){0}), "done\n");
    cr_expect_lt(clock_monotonic_ns() - start_ns, 5 * NS_PER_S, "it does not wait for the open pipe");
    expect_nothing_left(fixture, path);
}

Test(node_exec, process_left_behind_is_killed_and_not_waited_for)
{
    on_each_loop(orphans);
}

static bool job_was_counted_out(const struct fixture *fixture)
{
    return no_job_is_left(fixture) && fixture_count(fixture, COUNTER_JOBS_CLIENT_GONE) == 1;
}

static void client_gone(struct fixture *fixture)
{
    char path[32], command[300];
    make_path(path);
    snprintf(command, sizeof(command), "echo $$ >%s; sleep 97", path);
    struct client *client = run(fixture, command, &(struct job_request){0});
    fixture_until(fixture, one_job_runs, "it runs");
    client_leave(client);
    fixture_until(fixture, job_was_counted_out, "it ends");
    unlink(path);
}

Test(node_exec, client_that_leaves_ends_the_program)
{
    on_each_loop(client_gone);
}

static void many(struct fixture *fixture)
{
    const char *items[] = {"exec:x=cat"};
    fixture->config.slots = 8;
    fixture_services(fixture, items, 1);
    fixture_start(fixture);
    for (uint64_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = fixture_connect(fixture);
        for (uint64_t j = 0; j < 2; j++)
            client_submit(client, &(struct job_request){.service = "x", .data = "abc", .client_id = i, .job_id = j});
    }
    for (uint64_t i = 0; i < CLIENTS_MAX; i++) {
        for (uint64_t j = 0; j < 2; j++)
            cr_expect_eq(client_await(&fixture->clients[i], j)->type, FRAME_TYPE_RESULT);
        cr_expect_eq(fixture->clients[i].data.length, 6);
    }
}

Test(node_exec, many_programs_run_at_once)
{
    on_each_loop(many);
}
