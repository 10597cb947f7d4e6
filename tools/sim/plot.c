#include "tools/sim/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "tools/sim/effort.h"
#include "tools/sim/world.h"

static const double loads[] = {0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95};
static const double ages[] = {0.1, 0.3, 1, 3, 10, 30, 100}; /* in service times */

static bool gnuplot_is_there(void)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        char file[PATH_MAX];
        snprintf(file, sizeof(file), "%.*s/gnuplot", (int)length, path);
        if (access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

int plot_possible(const char *path, struct conf_error *ret_error)
{
    const char *ending = strrchr(path, '.');
    if (strchr(path, '\'') != NULL || strchr(path, '\n') != NULL || ending == NULL || strcmp(ending, ".svg") != 0) {
        conf_error_set(ret_error, "--plot %s: give a file name that ends in .svg and has no quotes and line breaks", path);
        return -EINVAL;
    }
    if (!gnuplot_is_there()) {
        conf_error_set(ret_error, "--plot: gnuplot is not installed: install it (Debian: gnuplot-nox), or leave --plot out");
        return -ENOENT;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        int error = -errno;
        conf_error_set(ret_error, "--plot %s: cannot be written: %s", path, strerror(-error));
        return error;
    }
    (void)close(fd);
    return 0;
}

static void set_point(struct scenario *scenario, enum plot_over over, uint32_t point)
{
    if (over == PLOT_OVER_LOAD) {
        scenario_set_load(scenario, loads[point]);
        return;
    }
    uint64_t age_ns = (uint64_t)(ages[point] * scenario->service.mean_ns) + 1;
    scenario->heartbeat_ns = scenario->refresh_ns = age_ns;
    scenario->push_ns = 0;
}

static uint32_t point_count(enum plot_over over)
{
    return over == PLOT_OVER_LOAD ? ARRAY_COUNT(loads) : ARRAY_COUNT(ages);
}

double plot_effort(struct scenario *scenario, enum plot_over over, const struct chosen_policies *chosen)
{
    double effort_s = 0;
    for (uint32_t point = 0; point < point_count(over); point++) {
        set_point(scenario, over, point);
        effort_s += effort_of(scenario, sim_policy_find("oracle"));
        for (uint32_t i = 0; i < chosen->count; i++)
            effort_s += effort_of(scenario, chosen->item[i]);
    }
    return effort_s;
}

static void simulate(struct scenario *scenario, const struct chosen_policies *chosen, struct plot *plot)
{
    double oracle[PLOT_POINTS_MAX];
    struct outcome outcome;
    for (uint32_t point = 0; point < plot->point_count; point++) {
        set_point(scenario, plot->over, point);
        world_run(scenario, sim_policy_find("oracle"), &outcome);
        oracle[point] = outcome.p99;
    }
    for (uint32_t i = 0; i < chosen->count; i++) {
        struct plot_line *line = &plot->line[plot->line_count++];
        line->policy = chosen->item[i];
        for (uint32_t point = 0; point < plot->point_count; point++) {
            set_point(scenario, plot->over, point);
            world_run(scenario, line->policy, &outcome);
            line->p99_over_oracle[point] = outcome.p99 / oracle[point];
        }
    }
}

/* For gnuplot: a block of "x y" lines for each policy, and what to make of them. */
static int write_script(const struct plot *plot, const char *path, struct buffer *script)
{
    int r = 0;
    for (uint32_t i = 0; i < plot->line_count && r == 0; i++) {
        r = buffer_print(script, "$p%u << EOD\n", i);
        for (uint32_t point = 0; point < plot->point_count && r == 0; point++)
            r = buffer_print(script, "%g %g\n", plot->at[point], plot->line[i].p99_over_oracle[point]);
        if (r == 0)
            r = buffer_print(script, "EOD\n");
    }
    if (r == 0)
        r = buffer_print(script,
                         "set terminal svg size 900,600 background 'white'\nset output '%s'\nset logscale y\nset grid\n"
                         "set key outside right\nset ylabel \"p99 over the oracle's\"\nset xlabel '%s'\n%splot ",
                         path, plot->over == PLOT_OVER_LOAD ? "load" : "heartbeat and refresh, in service times",
                         plot->over == PLOT_OVER_AGE ? "set logscale x\n" : "");
    for (uint32_t i = 0; i < plot->line_count && r == 0; i++)
        r = buffer_print(script, "%s$p%u with linespoints title '%s'", i ? ", " : "", i, plot->line[i].policy->name);
    return r == 0 ? buffer_print(script, "\n") : r;
}

static int write_all(int fd, const struct buffer *text)
{
    for (size_t at = 0; at < text->length;) {
        ssize_t written = write(fd, text->bytes + at, text->length - at);
        if (written < 0 && errno != EINTR)
            return -errno;
        at += written > 0 ? (size_t)written : 0;
    }
    return 0;
}

static int run_gnuplot(const struct buffer *script)
{
    char name[] = "gnuplot";
    char *argv[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = 0;
    pid_t pid;
    if (pipe(ends) < 0)
        return -errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int r = -posix_spawnp(&pid, name, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (r == 0)
        r = write_all(ends[1], script);
    close(ends[1]);
    if (r == 0 && (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0))
        r = -EIO;
    return r;
}

int plot_draw(struct scenario *scenario, enum plot_over over, const struct chosen_policies *chosen, const char *path,
              struct plot *ret_plot, struct conf_error *ret_error)
{
    struct plot plot = {.over = over, .point_count = point_count(over), .at = over == PLOT_OVER_LOAD ? loads : ages};
    struct buffer script = {.bytes = NULL};
    simulate(scenario, chosen, &plot);
    int r = write_script(&plot, path, &script);
    if (r == 0)
        r = run_gnuplot(&script);
    if (r < 0)
        conf_error_set(ret_error, "--plot %s: gnuplot failed: %s", path, strerror(-r));
    else
        *ret_plot = plot;
    buffer_done(&script);
    return r;
}
