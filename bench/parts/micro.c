#include "bench/parts/micro.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/check.h"

#define CALIBRATION_OPERATIONS 256u

void micro_init(struct micro *micro, uint32_t rounds, uint64_t sample_ns)
{
    cpu_set_t allowed;
    *micro = (struct micro){.rounds = rounds, .sample_ns = sample_ns};
    CHECK(rounds <= MICRO_ROUNDS_MAX && sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && micro->cpu_count < 2; cpu++)
        if (CPU_ISSET((size_t)cpu, &allowed))
            micro->cpus[micro->cpu_count++] = cpu;
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET((size_t)micro->cpus[0], &first);
    if (sched_setaffinity(0, sizeof(first), &first) < 0)
        micro_note(micro, "the thread could not be pinned to cpu %d: %s", micro->cpus[0], strerrordesc_np(errno));
    if (micro->cpu_count < 2)
        micro_note(micro, "only one CPU may be used: what needs two was left out (taskset, cgroups)");
}

void micro_done(struct micro *micro)
{
    free(micro->rows);
}

void micro_note(struct micro *micro, const char *format, ...)
{
    va_list arguments;
    if (micro->note_count == ARRAY_COUNT(micro->notes))
        return;
    va_start(arguments, format);
    (void)vsnprintf(micro->notes[micro->note_count++], MICRO_WHY_BYTES, format, arguments);
    va_end(arguments);
}

int micro_fail(struct micro *micro, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(micro->why, MICRO_WHY_BYTES, format, arguments);
    va_end(arguments);
    return error;
}

static int double_compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

struct micro_spread micro_spread_of(double samples[], uint32_t sample_count)
{
    qsort(samples, sample_count, sizeof(*samples), double_compare);
    return (struct micro_spread){
        .median = sample_count % 2 ? samples[sample_count / 2] : (samples[sample_count / 2 - 1] + samples[sample_count / 2]) / 2,
        .low = samples[sample_count / 4],
        .high = samples[sample_count - 1 - sample_count / 4],
        .best = samples[0],
    };
}

static int subject_run(struct micro *micro, const struct micro_subject *subject, uint64_t operations, double *ret_ns)
{
    uint64_t ns = 0;
    int error = subject->run(subject->ctx, operations, &ns);
    if (error == -ETIMEDOUT)
        return micro_fail(micro, error, "%s: came to a standstill; is another program using the same CPUs?", subject->name);
    if (error == -EBADMSG)
        return micro_fail(micro, error, "%s: gave a wrong result: this is a bug", subject->name);
    if (error < 0)
        return micro_fail(micro, error, "%s: %s", subject->name, strerrordesc_np(-error));
    *ret_ns = (double)(ns ? ns : 1) / (double)operations;
    return 0;
}

/* How many operations make a sample. */
static int subject_calibrate(struct micro *micro, const struct micro_subject *subject, uint64_t *ret_operations)
{
    uint64_t operations = CALIBRATION_OPERATIONS;
    double ns;
    for (;;) {
        int error = subject_run(micro, subject, operations, &ns);
        if (error < 0)
            return error;
        if (ns * (double)operations * 8 >= (double)micro->sample_ns)
            break;
        operations *= 4;
    }
    operations = (uint64_t)((double)micro->sample_ns / ns);
    *ret_operations = operations > CALIBRATION_OPERATIONS ? operations : CALIBRATION_OPERATIONS;
    return 0;
}

/* samples: by round, then by subject. */
static void row_add_quiet(const struct micro *micro, struct micro_row *row, uint32_t index, uint32_t subject_count,
                          const double *samples, micro_round_is_quiet *is_quiet)
{
    double values[MICRO_ROUNDS_MAX];
    for (uint32_t round = 0; round < micro->rounds; round++)
        if (is_quiet(samples + (size_t)round * subject_count))
            values[row->quiet_rounds++] = samples[(size_t)round * subject_count + index];
    row->judged = true;
    if (row->quiet_rounds > 0)
        row->quiet = micro_spread_of(values, row->quiet_rounds);
}

static struct micro_row *row_add(struct micro *micro, const struct micro_subject subjects[], uint32_t index,
                                 uint32_t subject_count, const double *samples)
{
    const struct micro_subject *subject = &subjects[index];
    struct micro_row *row = &micro->rows[micro->row_count++];
    double values[MICRO_ROUNDS_MAX];
    *row = (struct micro_row){
        .group = micro->group, .rounds = micro->rounds, .goal_ns = subject->goal_ns, .goal_ratio = subject->goal_ratio};
    memcpy(row->name, subject->name, MICRO_NAME_BYTES);
    for (uint32_t round = 0; round < micro->rounds; round++)
        values[round] = samples[(size_t)round * subject_count + index];
    row->ns = micro_spread_of(values, micro->rounds);
    if (subject->against == MICRO_NONE)
        return row;
    memcpy(row->against, subjects[subject->against].name, MICRO_NAME_BYTES);
    for (uint32_t round = 0; round < micro->rounds; round++) {
        const double *of = samples + (size_t)round * subject_count;
        values[round] = of[subject->against] / of[index];
    }
    row->ratio = micro_spread_of(values, micro->rounds);
    return row;
}

static int samples_take(struct micro *micro, const struct micro_subject subjects[], uint32_t subject_count, double *samples)
{
    uint64_t operations[MICRO_SUBJECTS_MAX];
    int error = 0;
    for (uint32_t i = 0; i < subject_count && error == 0; i++)
        error = subject_calibrate(micro, &subjects[i], &operations[i]);
    for (uint32_t round = 0; round < micro->rounds; round++)
        for (uint32_t i = 0; i < subject_count && error == 0; i++)
            error = subject_run(micro, &subjects[i], operations[i], &samples[(size_t)round * subject_count + i]);
    return error;
}

int micro_measure_judged(struct micro *micro, const struct micro_subject subjects[], uint32_t subject_count,
                         micro_round_is_quiet *is_quiet)
{
    CHECK(subject_count <= MICRO_SUBJECTS_MAX);
    struct micro_row *rows = realloc(micro->rows, (micro->row_count + subject_count) * sizeof(*rows));
    if (rows)
        micro->rows = rows;
    double *samples = calloc((size_t)subject_count * micro->rounds, sizeof(*samples));
    int error =
        rows && samples ? samples_take(micro, subjects, subject_count, samples) : micro_fail(micro, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < subject_count && error == 0; i++) {
        if (!subjects[i].name[0])
            continue;
        struct micro_row *row = row_add(micro, subjects, i, subject_count, samples);
        if (is_quiet)
            row_add_quiet(micro, row, i, subject_count, samples, is_quiet);
    }
    free(samples);
    return error;
}

int micro_measure(struct micro *micro, const struct micro_subject subjects[], uint32_t subject_count)
{
    return micro_measure_judged(micro, subjects, subject_count, NULL);
}
