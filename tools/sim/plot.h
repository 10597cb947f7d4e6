/* plot - p99 over the oracle's against load or age, drawn by gnuplot.
 * Thread: one; blocks until gnuplot has ended. */
#pragma once

#include "tools/sim/command.h"

enum plot_over {
    PLOT_OVER_LOAD,
    PLOT_OVER_AGE,
};

/* Simulates and draws. The scenario is changed on the way. -ENOENT: there is no gnuplot; -EIO: it failed; ret_error says so. */
NODISCARD int plot_draw(struct scenario *scenario, enum plot_over over, const struct chosen_policies *chosen, const char *path,
                        struct conf_error *ret_error);

/* -ENOENT with ret_error: there is no gnuplot. To be asked before much is simulated. */
NODISCARD int plot_possible(struct conf_error *ret_error);
