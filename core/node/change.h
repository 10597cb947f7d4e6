/* change - how fast each metric changes, and whether that is worth a heartbeat out of turn (requirement N8; design B, S02, claims 5, 6).
 *
 *     B = |Z − Z′| / T, Z and Z′ two samples of a metric in a row, T the time between them
 *
 * Past a metric's threshold an extra heartbeat is wanted, as long as the budget of a second lasts: a node that swings all the time
 * must not flood its rm. The equation's image is missing in the published text; T is the sampling interval here.
 * Pure. Thread: one owner. Memory: none of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum change_metric {
    CHANGE_CPU, /* shares in use, as in load.h */
    CHANGE_MEMORY,
    CHANGE_DISK,
    CHANGE_QUEUE, /* jobs waiting and running for each slot */
    CHANGE_DISK_READ, /* MB/s, as in resources.h */
    CHANGE_DISK_WRITE,
    CHANGE_NIC_IN,
    CHANGE_NIC_OUT,
    CHANGE_METRICS,
};

/* "cpu", "memory", "disk", "queue", "disk-read", "disk-write", "nic-in", "nic-out": as in --change-thresholds. */
extern const char *const change_metric_names[CHANGE_METRICS];

struct change_config {
    float threshold[CHANGE_METRICS]; /* of B, by the second; 0: never worth one */
    uint32_t budget; /* extra heartbeats a second; 0: none */
};

struct change {
    struct change_config config;
    bool begun;
    uint64_t at_ns; /* of the last sample */
    float value[CHANGE_METRICS];
    float rate[CHANGE_METRICS]; /* B as of the last sample */
    double tokens; /* of the budget */
};

void change_init(struct change *change, const struct change_config *config);

/* The next sample. True: an extra heartbeat is wanted; it is taken off the budget. */
bool change_add(struct change *change, uint64_t now_ns, const float value[static CHANGE_METRICS]);
