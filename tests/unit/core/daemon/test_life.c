/* A daemon's life in a process of its own, from wrong arguments to its exit code. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/address.h"
#include "core/base/exit_code.h"
#include "tests/unit/core/daemon/sample.h"

static struct sample sample;
static char conf_path[64];

static const char *conf_file(const char *content)
{
    if (!conf_path[0]) {
        snprintf(conf_path, sizeof(conf_path), "/tmp/usher-conf-XXXXXX");
        close(mkstemp(conf_path));
    }
    int fd = open(conf_path, O_WRONLY | O_TRUNC);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    return conf_path;
}

static void teardown(void)
{
    sample_remove(&sample);
    if (conf_path[0])
        unlink(conf_path);
}

TestSuite(life, .fini = teardown);

static void expect_end(int code, const char *text)
{
    cr_expect_eq(sample_end(&sample), code);
    cr_expect_not_null(strstr(sample.log, text), "%s", sample.log);
}

static void expect_started(void)
{
    cr_assert(sample_wait_for(&sample, " started "), "%s", sample.log);
    cr_assert(sample_wait_for(&sample, " : ready\n"), "%s", sample.log);
}

Test(life, wrong_option_is_usage)
{
    SAMPLE_START(&sample, "--facter", "2");
    expect_end(EXIT_CODE_USAGE, "usher-sample: unknown option --facter (did you mean --factor?)");
}

Test(life, check_hook_is_heard)
{
    SAMPLE_START(&sample, "--factor", "7");
    expect_end(EXIT_CODE_USAGE, "usher-sample: factor 7 and nothing else is forbidden; choose another\n");
}

Test(life, test_of_a_wrong_configuration_fails_with_its_line)
{
    const char *path = conf_file("size = 1\nfactor = much\n");
    SAMPLE_START(&sample, "-t", "--config", path);
    expect_end(EXIT_CODE_FAILED, ":2: factor: \"much\" is not a number; write one of 0..10\n");
}

Test(life, test_of_a_right_configuration_starts_nothing)
{
    SAMPLE_START(&sample, "-t", "--config", conf_file("size = 10\n"));
    cr_expect_eq(sample_end(&sample), EXIT_CODE_OK);
    cr_expect_eq(sample.log_length, 0);
}

Test(life, address_off_loopback_needs_insecure)
{
    SAMPLE_START(&sample, "--listen", "10.0.0.1:7000");
    expect_end(EXIT_CODE_USAGE, "add --insecure\n");
}

Test(life, http_off_loopback_needs_insecure)
{
    SAMPLE_START(&sample, "--http", "10.0.0.1:7001");
    expect_end(EXIT_CODE_USAGE, "usher-sample: --http 10.0.0.1:7001: nothing is authenticated yet");
}

Test(life, wildcard_needs_advertise)
{
    SAMPLE_START(&sample, "--listen", "0.0.0.0:7000", "--insecure");
    expect_end(EXIT_CODE_USAGE, "add --advertise ip:port\n");
}

Test(life, unusable_state_dir_is_named)
{
    sample_start(&sample, "/proc/none", (const char *const[]){NULL});
    expect_end(EXIT_CODE_FAILED, "cannot use the folder /proc/none/usher-sample-pid");
}

Test(life, test_finds_an_unusable_state_dir)
{
    sample_start(&sample, conf_file(""), (const char *const[]){"-t", NULL});
    expect_end(EXIT_CODE_FAILED, "Not a directory; give another one with --state-dir\n");
}

Test(life, test_makes_no_folder)
{
    char folder[sizeof(sample.folder) + 16];
    SAMPLE_START(&sample, "-t");
    cr_expect_eq(sample_end(&sample), EXIT_CODE_OK);
    snprintf(folder, sizeof(folder), "%s/in/here", sample.folder);
    sample_remove(&sample);
    sample_start(&sample, folder, (const char *const[]){"-t", NULL});
    cr_expect_eq(sample_end(&sample), EXIT_CODE_OK);
    *strstr(folder, "/in/here") = '\0';
    cr_expect_neq(access(folder, F_OK), 0);
}

Test(life, multicast_and_broadcast_cannot_be_listened_on)
{
    SAMPLE_START(&sample, "--listen", "224.0.0.1:7000", "--insecure");
    expect_end(EXIT_CODE_USAGE,
               "usher-sample: --listen 224.0.0.1:7000: this is a multicast address: give an address of this machine");
}

Test(life, too_long_admin_path_is_named)
{
    char path[200];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    SAMPLE_START(&sample, "--admin", path);
    expect_end(EXIT_CODE_FAILED, "usher-sample: the admin socket's path has 199 bytes and 107 are allowed");
}

Test(life, failing_start_is_said_in_the_format_that_was_asked_for)
{
    SAMPLE_START(&sample, "--size", "10", "--log-format", "json");
    expect_end(EXIT_CODE_FAILED,
               "\"id\":\"start-failed\",\"reason\":\"size 10 is too much for this machine; choose a smaller one\"");
}

Test(life, second_daemon_at_the_same_place_is_refused)
{
    struct sample second;
    SAMPLE_START(&sample, "--listen", "127.0.0.1:7001");
    expect_started();
    sample_start(&second, sample.folder, (const char *const[]){"--listen", "127.0.0.1:7001", NULL});
    cr_expect_eq(sample_end(&second), EXIT_CODE_FAILED);
    cr_expect_not_null(strstr(second.log, "is taken, by another daemon that answers there"), "%s", second.log);
}

Test(life, busy_http_port_is_named)
{
    struct sockaddr_storage socket_address;
    socklen_t length = sizeof(socket_address);
    struct address address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    char text[ADDRESS_TEXT_BYTES];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&socket_address, address_to_socket(&address, &socket_address)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&socket_address, &length);
    cr_assert_eq(address_from_socket((struct sockaddr *)&socket_address, &address), 0);
    SAMPLE_START(&sample, "--http", address_format(&address, text));
    expect_end(EXIT_CODE_FAILED, "Address already in use; another program has this port");
    close(fd);
}

Test(life, dead_socket_is_replaced_and_state_kept)
{
    struct sample second;
    struct stat status;
    char path[128];
    SAMPLE_START(&sample, "--listen", "127.0.0.9:7002");
    expect_started();
    kill(sample.pid, SIGKILL);
    sample_wait_for(&sample, "\1");
    snprintf(path, sizeof(path), "%s/usher-sample-7002-127.0.0.9", sample.folder);
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0700);
    sample_start(&second, sample.folder, (const char *const[]){"--listen", "127.0.0.9:7002", NULL});
    cr_expect(sample_wait_for(&second, " : ready\n"), "%s", second.log);
    kill(second.pid, SIGTERM);
    cr_assert(sample_wait_for(&second, "hook drain 0\n"), "two signals at once count as one");
    kill(second.pid, SIGTERM);
    cr_expect_eq(sample_end(&second), EXIT_CODE_OK);
}

Test(life, unknown_and_fixed_options_are_not_set)
{
    SAMPLE_START(&sample, "--factor", "2");
    expect_started();
    json_t *answer = sample_ask(&sample, "set", "size", "2");
    cr_expect(json_is_false(json_object_get(answer, "ok")));
    cr_expect_str_eq(json_string_value(json_object_get(answer, "text")),
                     "size cannot be changed while usher-sample runs; restart it with --size");
    cr_expect_eq(json_integer_value(json_object_get(answer, "exit")), EXIT_CODE_USAGE);
    json_decref(answer);
}

Test(life, set_changes_and_tells_the_program)
{
    SAMPLE_START(&sample, "--factor", "2");
    expect_started();
    json_t *answer = sample_ask(&sample, "set", "factor", "3.5");
    cr_expect(json_is_true(json_object_get(answer, "ok")));
    cr_expect(sample_wait_for(&sample, "hook changed factor 3.5\n"));
    cr_expect(sample_wait_for(&sample, "option-changed option=factor"));
    json_decref(answer);
}

Test(life, status_stats_and_help_answer)
{
    SAMPLE_START(&sample, "--http", "127.0.0.1:0");
    expect_started();
    json_t *status = sample_ask(&sample, "status", NULL, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(status, "program")), "usher-sample");
    cr_expect_str_eq(json_string_value(json_object_get(status, "state")), "running");
    cr_expect_str_eq(json_string_value(json_object_get(status, "io")), "epoll");
    cr_expect(json_is_true(json_object_get(status, "healthy")));
    cr_expect(json_is_true(json_object_get(status, "sample")));
    json_t *stats = sample_ask(&sample, "stats", NULL, NULL);
    json_t *series = json_object_get(stats, "stats");
    cr_expect_eq(json_integer_value(json_object_get(series, "usher_picks_total{result=\"ok\"}")), 3);
    cr_expect_eq(json_real_value(json_object_get(series, "usher_healthy")), 1.0);
    json_t *help = sample_ask(&sample, "help", NULL, NULL);
    cr_expect_eq(json_array_size(json_object_get(help, "commands")), 4);
    json_decref(status);
    json_decref(stats);
    json_decref(help);
}

Test(life, reload_of_a_mistake_changes_nothing)
{
    const char *path = conf_file("factor = 2\n");
    SAMPLE_START(&sample, "-c", path);
    expect_started();
    conf_file("factor = 7\n");
    kill(sample.pid, SIGHUP);
    cr_expect(sample_wait_for(&sample, "error reload-failed reason=\"factor 7 and nothing else is forbidden"), "%s", sample.log);
    json_t *stats = sample_ask(&sample, "stats", NULL, NULL);
    cr_expect_eq(json_real_value(json_object_get(json_object_get(stats, "stats"), "usher_last_reload_success")), 0.0);
    json_decref(stats);
}

Test(life, reload_applies_what_may_change)
{
    const char *path = conf_file("factor = 2\nsize = 1\n");
    SAMPLE_START(&sample, "-c", path);
    expect_started();
    conf_file("factor = 3\nsize = 2\nlog-level = debug\n");
    kill(sample.pid, SIGHUP);
    cr_expect(sample_wait_for(&sample, "info reloaded"), "%s", sample.log);
    cr_expect_not_null(strstr(sample.log, "hook changed factor 3\n"));
    cr_expect_not_null(strstr(sample.log, "option-needs-restart option=size"));
    cr_expect_not_null(strstr(sample.log, "option-changed option=log-level"));
}

Test(life, without_a_drain_hook_it_ends_at_once)
{
    sample_drains = false;
    SAMPLE_START(&sample, "--factor", "2");
    expect_started();
    kill(sample.pid, SIGINT);
    expect_end(EXIT_CODE_OK, "hook stop\n");
    cr_expect_not_null(strstr(sample.log, " stopped "));
}

Test(life, drains_in_phases_and_ends_when_drained)
{
    SAMPLE_START(&sample, "--size", "9", "--drain-accept", "10ms");
    expect_started();
    kill(sample.pid, SIGTERM);
    expect_end(EXIT_CODE_OK, "hook drain 0\n");
    cr_expect_not_null(strstr(sample.log, "hook drain 1\n"));
    cr_expect_null(strstr(sample.log, "hook drain 2\n"), "nothing was left to abandon");
}

Test(life, drain_limit_ends_in_abandoning)
{
    SAMPLE_START(&sample, "--drain-accept", "0", "--drain-limit", "10ms");
    expect_started();
    kill(sample.pid, SIGTERM);
    expect_end(EXIT_CODE_OK, "hook drain 2\n");
}

Test(life, draining_shows_and_a_second_signal_hastens)
{
    SAMPLE_START(&sample, "--drain-accept", "1m");
    expect_started();
    kill(sample.pid, SIGTERM);
    cr_assert(sample_wait_for(&sample, "hook drain 0\n"));
    json_t *status = sample_ask(&sample, "status", NULL, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(status, "state")), "draining");
    cr_expect_str_eq(json_string_value(json_object_get(status, "reason")), "draining");
    json_decref(status);
    kill(sample.pid, SIGTERM);
    expect_end(EXIT_CODE_OK, "hook drain 1\n");
    cr_expect_not_null(strstr(sample.log, "hook drain 2\n"));
}
