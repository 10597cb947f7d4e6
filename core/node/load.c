#include "core/node/load.h"

#include <errno.h>
#include <stdlib.h>

const char *const load_part_names[LOAD_PARTS] = {"cpu", "memory", "disk", "queue"};

int load_init(struct load *load, const struct load_config *config)
{
    if (config->slots == 0 || config->samples_max == 0 || config->samples_max > LOAD_SAMPLES_MAX || !(config->queue_factor > 0))
        return -EINVAL;
    struct load_sample *samples = calloc(config->samples_max, sizeof(*samples));
    if (samples == NULL)
        return -ENOMEM;
    *load = (struct load){.config = *config, .samples = samples};
    return 0;
}

void load_done(struct load *load)
{
    free(load->samples);
    load->samples = NULL;
}

/* The negated comparison also catches what is not a number. */
static float clamp(float value, float max)
{
    if (!(value >= 0))
        return 0;
    return value < max ? value : max;
}

void load_add(struct load *load, const struct load_sample *sample)
{
    struct load_sample *to = &load->samples[load->next];
    for (uint32_t part = 0; part < LOAD_PARTS; part++)
        to->part[part] = clamp(sample->part[part], part == LOAD_QUEUE ? 1e9f : 1);
    load->next = (load->next + 1) % load->config.samples_max;
    if (load->sample_count < load->config.samples_max)
        load->sample_count++;
}

void load_read(const struct load *load, struct load_report *ret_report)
{
    const struct load_config *config = &load->config;
    /* Summed anew each time: a running sum would keep the rounding errors of all samples that ever were. */
    double sum[LOAD_PARTS] = {0};
    for (uint32_t i = 0; i < load->sample_count; i++)
        for (uint32_t part = 0; part < LOAD_PARTS; part++)
            sum[part] += (double)load->samples[i].part[part];

    struct load_report report = {.per_job = config->weights[LOAD_QUEUE] * config->queue_factor / (float)config->slots};
    for (uint32_t part = 0; part < LOAD_PARTS; part++) {
        report.mean[part] = load->sample_count == 0 ? 0 : (float)(sum[part] / load->sample_count);
        float scale = part == LOAD_QUEUE ? config->queue_factor / (float)config->slots : 1;
        report.index += config->weights[part] * report.mean[part] * scale;
    }
    *ret_report = report;
}
