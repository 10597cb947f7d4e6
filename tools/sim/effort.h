/* effort - how long a run is going to take, known before it begins; and how far it is.
 *
 * A run's time goes with its jobs, and with the virtual time in which these come: all the while nodes sample their load, report, and are
 * reported of. Where jobs are long or few that is nearly all of it; where they are short beside the heartbeats, most of the jobs come before
 * measuring begins.
 * Thread: one. */
#pragma once

#include "core/conf/conf.h"
#include "tools/sim/policies.h"
#include "tools/sim/scenario.h"

#define EFFORT_MAX_S 3600.0

/* Real seconds, on a usual machine, within a factor of three or so. */
double effort_of(const struct scenario *scenario, const struct sim_policy *policy);

/* Whether so much can be asked for, all runs together, of which the scenario is one: else -EINVAL, and ret_error says what to change. When
 * it takes longer than people wait without a word, it says so on stderr. */
NODISCARD int effort_check(const char *program, const struct scenario *scenario, double effort_s, struct conf_error *ret_error);

/* A line on stderr, if that is a terminal, which the next one replaces: so much is done. At most one a second. */
struct effort_line {
    uint64_t shown_ns; /* 0: nothing is shown */
};
void effort_line_show(struct effort_line *line, const char *policy, double share);
void effort_line_clear(struct effort_line *line);
