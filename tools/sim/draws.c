#include "tools/sim/draws.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/duration.h"
#include "tools/sim/text.h"

#define SERVICE_FORMS "exp:100ms, pareto:1.5:100ms, lognormal:1.5:100ms, fixed:100ms or trace:FILE"
#define ARRIVALS_FORMS "poisson, bursts:FACTOR:SHARE:PERIOD (bursts:3:0.1:10s) or daily:DEPTH:PERIOD (daily:0.5:10m)"
#define LINE_BYTES 256

#define ALPHA_MAX 10
/* Of 200,000 jobs 8 % of the mean is not seen with 3, a third with 4, and with 9 nearly all: it lies in jobs so rare that none comes, and
 * nobody would have anything to do. */
#define SIGMA_MAX 3

double draw_exponential(struct random_state *random)
{
    return -log(1 - random_unit(random));
}

double draw_normal(struct random_state *random)
{
    double radius = sqrt(2 * draw_exponential(random));
    return radius * cos(2 * M_PI * random_unit(random));
}

/* E[X] of the bounded Pareto with least value 1. */
static double pareto_mean(double alpha)
{
    if (fabs(alpha - 1) < 1e-9)
        return log(PARETO_SPAN) / (1 - 1 / PARETO_SPAN);
    return alpha / (alpha - 1) * (1 - pow(PARETO_SPAN, 1 - alpha)) / (1 - pow(PARETO_SPAN, -alpha));
}

static int trace_add(struct service_draw *draw, const char *line, double *sum)
{
    uint64_t ns;
    double seconds;
    if (duration_parse(line, &ns) == 0)
        seconds = (double)ns / 1e9;
    else if (text_number(line, &seconds) < 0)
        return -EINVAL;
    if (!(seconds > 0))
        return -EINVAL;
    if ((draw->trace_count & (draw->trace_count - 1)) == 0) {
        size_t capacity = draw->trace_count ? (size_t)draw->trace_count * 2 : 1;
        double *trace = realloc(draw->trace, capacity * sizeof(*trace));
        if (trace == NULL)
            return -ENOMEM;
        draw->trace = trace;
    }
    draw->trace[draw->trace_count++] = seconds * 1e9;
    *sum += seconds * 1e9;
    return 0;
}

/* 1, or 0: there is none any more. -EINVAL: longer than any time, as in a file that has no lines at all. -errno. Without the line's end. */
static int line_read(FILE *file, char line[static LINE_BYTES])
{
    size_t length = 0;
    int byte;
    while ((byte = getc_unlocked(file)) != EOF && byte != '\n') {
        if (length == LINE_BYTES - 1 || byte == '\0')
            return -EINVAL;
        line[length++] = (char)byte;
    }
    if (byte == EOF && ferror(file))
        return -errno;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    return length > 0 || byte != EOF;
}

static int trace_read_lines(FILE *file, const char *path, struct service_draw *draw, struct conf_error *ret_error)
{
    char line[LINE_BYTES];
    double sum = 0;
    for (uint32_t number = 1;; number++) {
        int r = line_read(file, line);
        if (r == 0)
            break;
        if (r > 0 && number > TRACE_LINES_MAX) {
            conf_error_set(ret_error, "--service trace:%s: give at most %u lines", path, TRACE_LINES_MAX);
            return -EINVAL;
        }
        if (r > 0 && line[0] != '\0' && line[0] != '#')
            r = trace_add(draw, line, &sum);
        if (r == -EINVAL)
            conf_error_set(ret_error,
                           "--service trace:%s: line %u: give one time above 0 a line, in seconds (0.05) or with a unit (50ms)",
                           path, number);
        else if (r < 0)
            conf_error_set(ret_error, "--service trace:%s: %s", path, strerror(-r));
        if (r < 0)
            return r;
    }
    if (draw->trace_count == 0) {
        conf_error_set(ret_error, "--service trace:%s: it has no times", path);
        return -EINVAL;
    }
    draw->mean_ns = sum / draw->trace_count;
    return 0;
}

static int trace_read(const char *path, struct service_draw *draw, struct conf_error *ret_error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        conf_error_set(ret_error, "--service trace:%s: %s", path, strerror(errno));
        return -EINVAL;
    }
    int r = trace_read_lines(file, path, draw, ret_error);
    fclose(file);
    if (r < 0)
        service_draw_done(draw);
    return r < 0 ? -EINVAL : 0;
}

static int shape_parse(const char *text, struct service_draw *draw)
{
    char fields[3][TEXT_FIELD_BYTES];
    uint32_t count = text_split(text, fields, 3);
    uint64_t mean_ns;
    if (count == 0 || duration_parse(fields[count - 1], &mean_ns) < 0 || mean_ns == 0)
        return -EINVAL;
    draw->mean_ns = (double)mean_ns;
    if (count == 2 && strcmp(fields[0], "exp") == 0) {
        draw->shape = SERVICE_EXP;
        return 0;
    }
    if (count == 2 && strcmp(fields[0], "fixed") == 0) {
        draw->shape = SERVICE_FIXED;
        return 0;
    }
    if (count != 3 || text_number(fields[1], &draw->parameter) < 0 || !(draw->parameter > 0) || draw->parameter > ALPHA_MAX)
        return -EINVAL;
    if (strcmp(fields[0], "pareto") == 0) {
        draw->shape = SERVICE_PARETO;
        draw->scale = draw->mean_ns / pareto_mean(draw->parameter);
        return 0;
    }
    if (strcmp(fields[0], "lognormal") == 0 && draw->parameter <= SIGMA_MAX) {
        draw->shape = SERVICE_LOGNORMAL;
        draw->scale = draw->mean_ns * exp(-draw->parameter * draw->parameter / 2);
        return 0;
    }
    return -EINVAL;
}

int service_draw_parse(const char *text, struct service_draw *ret_draw, struct conf_error *ret_error)
{
    struct service_draw draw = {.shape = SERVICE_TRACE};
    int r = strncmp(text, "trace:", 6) == 0 ? trace_read(text + 6, &draw, ret_error) : shape_parse(text, &draw);
    if (r < 0 && strncmp(text, "trace:", 6) != 0)
        conf_error_set(ret_error,
                       "--service %s: give " SERVICE_FORMS
                       "; ALPHA is at most %d; SIGMA %d, else much of the work would lie in jobs "
                       "that are too rare to come at all",
                       text, ALPHA_MAX, SIGMA_MAX);
    if (r == 0)
        *ret_draw = draw;
    return r;
}

void service_draw_done(struct service_draw *draw)
{
    free(draw->trace);
    draw->trace = NULL;
}

double service_draw(const struct service_draw *draw, struct random_state *random)
{
    switch (draw->shape) {
    case SERVICE_EXP: return draw->mean_ns * draw_exponential(random);
    case SERVICE_FIXED: return draw->mean_ns;
    case SERVICE_LOGNORMAL: return draw->scale * exp(draw->parameter * draw_normal(random));
    case SERVICE_TRACE: return draw->trace[random_below(random, draw->trace_count)];
    case SERVICE_PARETO: break;
    }
    /* The inverse of the bounded Pareto's distribution function. */
    double tail = pow(PARETO_SPAN, -draw->parameter);
    return draw->scale * pow(1 - random_unit(random) * (1 - tail), -1 / draw->parameter);
}

int arrivals_parse(const char *text, struct arrivals *ret_arrivals, struct conf_error *ret_error)
{
    char fields[4][TEXT_FIELD_BYTES];
    uint32_t count = text_split(text, fields, 4);
    struct arrivals arrivals = {.shape = ARRIVALS_POISSON};
    uint64_t period_ns = 0;
    bool ok = count >= 1;
    if (ok && count > 1)
        ok = duration_parse(fields[count - 1], &period_ns) == 0 && period_ns > 0;
    arrivals.period_ns = (double)period_ns;
    if (ok && count == 4 && strcmp(fields[0], "bursts") == 0) {
        arrivals.shape = ARRIVALS_BURSTS;
        ok = text_number(fields[1], &arrivals.factor) == 0 && text_number(fields[2], &arrivals.share) == 0 &&
             arrivals.factor >= 1 && arrivals.share > 0 && arrivals.share < 1 && arrivals.factor * arrivals.share <= 1;
    } else if (ok && count == 3 && strcmp(fields[0], "daily") == 0) {
        arrivals.shape = ARRIVALS_DAILY;
        ok = text_number(fields[1], &arrivals.depth) == 0 && arrivals.depth >= 0 && arrivals.depth <= 1;
    } else {
        ok = ok && count == 1 && strcmp(fields[0], "poisson") == 0;
    }
    if (!ok) {
        conf_error_set(ret_error, "--arrivals %s: give " ARRIVALS_FORMS "; FACTOR x SHARE is at most 1, DEPTH 0 to 1", text);
        return -EINVAL;
    }
    *ret_arrivals = arrivals;
    return 0;
}

static double rate_at(const struct arrivals *arrivals, double at_ns)
{
    double phase = arrivals->period_ns > 0 ? fmod(at_ns, arrivals->period_ns) / arrivals->period_ns : 0;
    switch (arrivals->shape) {
    case ARRIVALS_POISSON: break;
    case ARRIVALS_BURSTS:
        if (phase < arrivals->share)
            return arrivals->rate * arrivals->factor;
        return arrivals->rate * (1 - arrivals->factor * arrivals->share) / (1 - arrivals->share);
    case ARRIVALS_DAILY: return arrivals->rate * (1 + arrivals->depth * sin(2 * M_PI * phase));
    }
    return arrivals->rate;
}

double arrivals_next(const struct arrivals *arrivals, struct random_state *random, double now_ns)
{
    double peak = arrivals->rate;
    if (arrivals->shape == ARRIVALS_BURSTS)
        peak *= arrivals->factor;
    if (arrivals->shape == ARRIVALS_DAILY)
        peak *= 1 + arrivals->depth;
    for (;;) {
        now_ns += draw_exponential(random) / peak;
        if (arrivals->shape == ARRIVALS_POISSON || random_unit(random) * peak < rate_at(arrivals, now_ns))
            return now_ns;
    }
}
