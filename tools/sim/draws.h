/* draws - random service times and arrivals.
 *
 * A distribution is scaled to its mean exactly (bounded Pareto and traces too), so that "85 % load" means what it says.
 * Thread: one owner. Memory: a trace is on the heap; service_draw_done frees it. */
#pragma once

#include <stdint.h>

#include "core/base/random.h"
#include "core/conf/conf.h"

enum service_shape {
    SERVICE_EXP,
    SERVICE_PARETO, /* bounded: from its least value to PARETO_SPAN times that */
    SERVICE_LOGNORMAL,
    SERVICE_FIXED,
    SERVICE_TRACE,
};

#define PARETO_SPAN 1e4
#define TRACE_LINES_MAX 10000000u

struct service_draw {
    enum service_shape shape;
    double mean_ns;
    double parameter; /* alpha; sigma */
    double scale; /* Pareto: the least value; lognormal: the median; ns */
    double *trace; /* ns */
    uint32_t trace_count;
};

/* exp:100ms, pareto:1.5:100ms, lognormal:1.5:100ms, fixed:100ms, trace:FILE (a number of seconds or a duration on each line; empty
 * lines and those that begin with # are passed over). -EINVAL
 * with ret_error. */
NODISCARD int service_draw_parse(const char *text, struct service_draw *ret_draw, struct conf_error *ret_error);
void service_draw_done(struct service_draw *draw);

/* > 0, in ns. */
double service_draw(const struct service_draw *draw, struct random_state *random);

/* Of mean 1. */
double draw_exponential(struct random_state *random);
/* Of mean 0 and variance 1. */
double draw_normal(struct random_state *random);

enum arrivals_shape {
    ARRIVALS_POISSON,
    ARRIVALS_BURSTS, /* Poisson; in bursts `factor` times the rate, between them as much less as keeps the mean */
    ARRIVALS_DAILY, /* Poisson; the rate swings as a sine by ± depth of its mean */
};

struct arrivals {
    enum arrivals_shape shape;
    double rate; /* per ns, the long-run mean */
    double factor; /* bursts */
    double share; /* of the time spent in bursts */
    double depth; /* daily */
    double period_ns; /* from burst to burst; of the sine */
};

/* poisson, bursts:FACTOR:SHARE:PERIOD, daily:DEPTH:PERIOD. The rate is left at 0. -EINVAL with ret_error. */
NODISCARD int arrivals_parse(const char *text, struct arrivals *ret_arrivals, struct conf_error *ret_error);

/* When the one after now_ns comes (thinning: Lewis and Shedler 1979). */
double arrivals_next(const struct arrivals *arrivals, struct random_state *random, double now_ns);
