/* load - the load index: samples of CPU, memory, disk and job queue go in, the weighted sum of their means over the load window comes
 * out (requirements N5, D10; [0119][0120][0143]).
 *
 * Pure: who samples, and when, is the caller's (resources.h).
 * Invariant: the means are over the latest `samples_max` samples, or over all while there are fewer; all numbers are ≥ 0 and finite.
 * Thread: one owner. Memory: load_init allocates the window, load_done frees it. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

#define LOAD_SAMPLES_MAX 1000u

enum load_part {
    LOAD_CPU, /* share in use, 0 … 1 */
    LOAD_MEMORY, /* share in use, 0 … 1 */
    LOAD_DISK, /* share in use, 0 … 1 */
    LOAD_QUEUE, /* jobs waiting and running */
    LOAD_PARTS,
};

/* "cpu", "memory", "disk", "queue": as in --load-weights. */
extern const char *const load_part_names[LOAD_PARTS];

/* What the disk's share is of. */
enum load_disk {
    LOAD_DISK_BUSY, /* the time: the busiest disk's */
    LOAD_DISK_SPACE,
};

struct load_config {
    float weights[LOAD_PARTS]; /* ≥ 0 */
    float queue_factor; /* > 0; 1.5 on dispatchers */
    uint32_t slots; /* ≥ 1 */
    uint32_t samples_max; /* 1 … LOAD_SAMPLES_MAX */
};

struct load_sample {
    float part[LOAD_PARTS];
};

struct load {
    struct load_config config;
    struct load_sample *samples; /* ring */
    uint32_t sample_count;
    uint32_t next;
};

struct load_report {
    float index; /* Σ weight × mean; the queue's mean enters per slot and times queue_factor */
    float per_job; /* what one more queued job adds to the index */
    float mean[LOAD_PARTS];
};

/* -EINVAL, -ENOMEM. */
NODISCARD int load_init(struct load *load, const struct load_config *config);
void load_done(struct load *load);

/* Values out of range are clamped. */
void load_add(struct load *load, const struct load_sample *sample);

/* All means 0 before the first sample. */
void load_read(const struct load *load, struct load_report *ret_report);
