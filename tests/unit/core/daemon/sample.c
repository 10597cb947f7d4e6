#include "tests/unit/core/daemon/sample.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/daemon/daemon.h"
#include "tools/usherctl/connection.h"

struct sample_options {
    struct daemon_options daemon;
    struct sample_own {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "tests/unit/core/daemon/sample.def"
#undef OPTION
    } own;
};

static const struct conf_option sample_rows[] = {
#define OPTION(...) CONF_ROW(struct sample_own, __VA_ARGS__)
#include "tests/unit/core/daemon/sample.def"
#undef OPTION
};

static const struct conf_table sample_tables[] = {
    {.title = "Options",
     .rows = sample_rows,
     .row_count = ARRAY_COUNT(sample_rows),
     .offset = offsetof(struct sample_options, own)},
    {DAEMON_TABLE(struct sample_options, daemon)},
};

static const struct conf_program sample_conf = {
    .name = "usher-sample",
    .summary = "does nothing",
    .description = "",
    .man_section = 8,
    .options_bytes = sizeof(struct sample_options),
    .tables = sample_tables,
    .table_count = ARRAY_COUNT(sample_tables),
};

struct sample_state {
    struct daemon *daemon;
    const struct sample_options *options;
    struct counters counters;
};

bool sample_drains = true;
static bool ends_when_refusing;

static int sample_check(const void *options, struct conf_error *ret_error)
{
    const struct sample_options *sample = options;
    if (sample->own.factor == 7.0) {
        conf_error_set(ret_error, "factor 7 and nothing else is forbidden; choose another");
        return -EINVAL;
    }
    return daemon_check_listen(&sample->daemon, &sample->own.listen, ret_error);
}

static int sample_begin(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error)
{
    const struct sample_options *sample = options;
    if (sample->own.size == 10) {
        conf_error_set(ret_error, "size 10 is too much for this machine; choose a smaller one");
        return -ENOMEM;
    }
    struct sample_state *state = calloc(1, sizeof(*state));
    state->daemon = daemon;
    state->options = options;
    ends_when_refusing = sample->own.size == 9;
    counter_add(&state->counters, COUNTER_PICKS_OK, 3);
    *ret_state = state;
    return 0;
}

static void sample_drain(void *state, enum drain_phase phase)
{
    struct sample_state *sample = state;
    fprintf(stderr, "hook drain %d\n", phase);
    if (phase == DRAIN_REFUSE && ends_when_refusing)
        daemon_drained(sample->daemon);
}

static void sample_stop(void *state)
{
    fprintf(stderr, "hook stop\n");
    free(state);
}

static void sample_changed(void *state, const struct conf_option *option)
{
    struct sample_state *sample = state;
    fprintf(stderr, "hook changed %s %g\n", option->name, sample->options->own.factor);
}

static void sample_status(void *state, json_t *answer)
{
    (void)state;
    json_object_set_new(answer, "sample", json_true());
}

static void sample_measure(void *state, struct measures *measures)
{
    struct sample_state *sample = state;
    measures_add_counters(measures, &sample->counters);
}

static bool sample_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES])
{
    struct sample_state *sample = state;
    snprintf(ret_reason, DAEMON_REASON_BYTES, "the factor is zero");
    return sample->options->own.factor > 0;
}

static void run_daemon(const char *folder, const char *const *arguments)
{
    struct daemon_program program = {
        .conf = &sample_conf,
        .daemon_offset = offsetof(struct sample_options, daemon),
        .listen_offset = offsetof(struct sample_options, own.listen),
        .counter_program = COUNTER_DISPATCHER,
        .check = sample_check,
        .start = sample_begin,
        .drain = sample_drains ? sample_drain : NULL,
        .stop = sample_stop,
        .changed = sample_changed,
        .status = sample_status,
        .measure = sample_measure,
        .healthy = sample_healthy,
    };
    const char *given[32] = {"usher-sample", "--io", "epoll", "--state-dir", folder};
    char *argv[32];
    int argc = 5;
    for (; *arguments; arguments++)
        given[argc++] = *arguments;
    memcpy(argv, given, sizeof(argv)); /* a main's argv is not const; nothing writes to it */
    _exit(daemon_main(&program, argc, argv));
}

void sample_start(struct sample *sample, const char *folder, const char *const *arguments)
{
    int ends[2];
    memset(sample, 0, sizeof(*sample));
    snprintf(sample->folder, sizeof(sample->folder), "%s", folder ? folder : "/tmp/usher-daemon-XXXXXX");
    cr_assert(folder || mkdtemp(sample->folder));
    cr_assert_eq(pipe(ends), 0);
    sample->pid = fork();
    if (sample->pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        run_daemon(sample->folder, arguments);
    }
    close(ends[1]);
    sample->stderr_fd = ends[0];
}

bool sample_wait_for(struct sample *sample, const char *text)
{
    while (!strstr(sample->log, text)) {
        ssize_t got = read(sample->stderr_fd, sample->log + sample->log_length, sizeof(sample->log) - 1 - sample->log_length);
        if (got <= 0)
            return false;
        sample->log_length += (size_t)got;
    }
    return true;
}

int sample_end(struct sample *sample)
{
    int status;
    sample_wait_for(sample, "\1");
    close(sample->stderr_fd);
    cr_assert_eq(waitpid(sample->pid, &status, 0), sample->pid);
    sample->pid = 0;
    cr_assert(WIFEXITED(status), "%s", sample->log);
    return WEXITSTATUS(status);
}

void sample_remove(struct sample *sample)
{
    static const char *const endings[] = {"/usher-sample-*.sock", "/usher-sample-*", ""};
    char pattern[128];
    glob_t found;
    if (sample->pid > 0 && kill(sample->pid, SIGKILL) == 0)
        waitpid(sample->pid, NULL, 0);
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        snprintf(pattern, sizeof(pattern), "%s%s", sample->folder, endings[i]);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++)
            remove(found.gl_pathv[j]);
        globfree(&found);
    }
}

json_t *sample_ask(struct sample *sample, const char *word, const char *second, const char *third)
{
    const char *words[] = {word, second, third};
    struct conf_error why;
    char path[128];
    json_t *answer = NULL;
    const char *begin = strstr(sample->log, "admin=");
    cr_assert_not_null(begin);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(begin + 6, " "), begin + 6);
    size_t count = third ? 3 : second ? 2 : 1;
    cr_expect_eq(connection_call(path, words, count, 5 * NS_PER_S, &answer, &why), 0, "%s", why.text);
    return answer;
}
