/* Requirement N5: the load index is the weighted sum of means over the window. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#include "core/node/load.h"

static struct load_config config(uint32_t samples_max)
{
    return (struct load_config){.weights = {0.3f, 0.1f, 0.1f, 0.5f}, .queue_factor = 1, .slots = 4, .samples_max = samples_max};
}

static struct load_report report_of(const struct load_config *config, const struct load_sample *samples, uint32_t count)
{
    struct load load;
    struct load_report report;
    cr_assert_eq(load_init(&load, config), 0);
    for (uint32_t i = 0; i < count; i++)
        load_add(&load, &samples[i]);
    load_read(&load, &report);
    load_done(&load);
    return report;
}

Test(load, impossible_configurations_are_refused)
{
    struct load load;
    struct load_config no_samples = config(0), too_many = config(LOAD_SAMPLES_MAX + 1), no_slots = config(1),
                       no_factor = config(1);
    no_slots.slots = 0;
    no_factor.queue_factor = 0;
    cr_expect_eq(load_init(&load, &no_samples), -EINVAL);
    cr_expect_eq(load_init(&load, &too_many), -EINVAL);
    cr_expect_eq(load_init(&load, &no_slots), -EINVAL);
    cr_expect_eq(load_init(&load, &no_factor), -EINVAL);
}

Test(load, nothing_sampled_is_no_load)
{
    struct load_config c = config(10);
    struct load_report report = report_of(&c, NULL, 0);
    cr_expect_eq(report.index, 0);
    cr_expect_float_eq(report.per_job, 0.5 / 4, 1e-6);
}

Test(load, numbers_out_of_range_are_clamped)
{
    struct load_config c = config(10);
    struct load_sample sample = {{2, -1, NAN, -5}};
    struct load_report report = report_of(&c, &sample, 1);
    cr_expect_float_eq(report.index, 0.3, 1e-6);
}

Test(load, index_is_the_weighted_sum_of_means)
{
    struct load_config c = config(10);
    struct load_sample samples[] = {{{0.2f, 0.4f, 0, 4}}, {{0.6f, 0.4f, 1, 12}}};
    struct load_report report = report_of(&c, samples, 2);
    cr_expect_float_eq(report.mean[LOAD_CPU], 0.4, 1e-6);
    cr_expect_float_eq(report.mean[LOAD_MEMORY], 0.4, 1e-6);
    cr_expect_float_eq(report.mean[LOAD_DISK], 0.5, 1e-6);
    cr_expect_float_eq(report.mean[LOAD_QUEUE], 8, 1e-6);
    cr_expect_float_eq(report.index, 0.3 * 0.4 + 0.1 * 0.4 + 0.1 * 0.5 + 0.5 * 8 / 4, 1e-5);
}

Test(load, only_the_window_counts)
{
    struct load_config c = config(2);
    struct load_sample samples[] = {{{1, 1, 1, 100}}, {{0.2f, 0, 0, 0}}, {{0.4f, 0, 0, 0}}};
    struct load_report report = report_of(&c, samples, 3);
    cr_expect_float_eq(report.index, 0.3 * 0.3, 1e-6);
}

Test(load, queue_of_a_dispatcher_counts_one_and_a_half_times)
{
    struct load_config worker = config(1), dispatcher = config(1);
    dispatcher.queue_factor = 1.5f;
    struct load_sample sample = {{0, 0, 0, 8}};
    struct load_report of_worker = report_of(&worker, &sample, 1), of_dispatcher = report_of(&dispatcher, &sample, 1);
    cr_expect_float_eq(of_dispatcher.index, 1.5 * (double)of_worker.index, 1e-5);
    cr_expect_float_eq(of_dispatcher.per_job, 1.5 * (double)of_worker.per_job, 1e-6);
}
