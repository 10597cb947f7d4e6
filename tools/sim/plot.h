/* plot - p99 over the oracle's against load or age, drawn by gnuplot.
 * Thread: one; blocks until gnuplot has ended. */
#pragma once

#include "tools/sim/command.h"

enum plot_over {
    PLOT_OVER_LOAD,
    PLOT_OVER_AGE,
};

#define PLOT_POINTS_MAX 16u

struct plot_line {
    const struct sim_policy *policy;
    double p99_over_oracle[PLOT_POINTS_MAX];
};

struct plot {
    enum plot_over over;
    uint32_t point_count;
    uint32_t line_count;
    const double *at; /* the load, or the age in service times, of each point; lives as long as the program */
    struct plot_line line[POLICIES_CHOSEN_MAX];
};

/* As effort_of, of all that is simulated. The scenario is left as it is at the last point. */
double plot_effort(struct scenario *scenario, enum plot_over over, const struct chosen_policies *chosen);

/* Simulates and draws, after plot_possible. The scenario is changed on the way. -ENOENT: there is no gnuplot; -EIO: it failed; ret_error says
 * so. */
NODISCARD int plot_draw(struct scenario *scenario, enum plot_over over, const struct chosen_policies *chosen, const char *path,
                        struct plot *ret_plot, struct conf_error *ret_error);

/* To be asked before much is simulated; an empty file is left where one can be written. -ENOENT: there is no gnuplot; -EINVAL: not a
 * name of a file for SVG; errors of open(2); all with ret_error. */
NODISCARD int plot_possible(const char *path, struct conf_error *ret_error);
