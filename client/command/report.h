/* report - what became of the jobs of one `usher run`: counted as they end, in memory that does not grow with their number.
 * Thread: the program's only one. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "client/include/usher/usher.h"
#include "core/base/histogram.h"
#include "core/base/map.h"

#define REPORT_FAILURES_MAX 64
#define REPORT_NODES_MAX 1024
#define REPORT_NODES_PRINTED 16

struct report_failure {
    int error;
    enum usher_started started;
    uint64_t count;
    char message[USHER_MESSAGE_BYTES]; /* of the first of them */
};

struct report_node {
    char address[USHER_ADDRESS_BYTES];
    uint64_t jobs; /* that ended with a result there */
};

struct report_region {
    uint16_t region;
    uint64_t jobs; /* likewise */
};

struct report {
    uint64_t ok;
    uint64_t failed;
    uint64_t started_unknown; /* failed ones that may have started */
    uint64_t retries; /* nodes tried beyond the first of each job */
    struct report_failure failures[REPORT_FAILURES_MAX]; /* by error and started */
    uint32_t failure_count;
    struct report_node nodes[REPORT_NODES_MAX]; /* the first ones */
    uint32_t node_count;
    uint64_t nodes_omitted; /* jobs that ended with a result on others */
    struct report_region regions[USHER_STATS_REGIONS_MAX];
    uint32_t region_count;
    uint64_t regions_omitted; /* likewise */
    struct histogram latency_us; /* of the jobs that ended with a result */
};

void report_add(struct report *report, const struct usher_result *result);

/* What the program ends with: 0 when every job has its result; 3 or 4 when all failed for that reason. */
int report_exit_code(const struct report *report);

/* For people. */
void report_print(const struct report *report, const struct usher_stats *stats, double elapsed_s, FILE *stream);

/* The "summary" of the JSON. NULL: no memory. */
json_t *report_to_json(const struct report *report, const struct usher_stats *stats, double elapsed_s);

/* One job for the "jobs" of the JSON. NULL: no memory. */
json_t *report_job_to_json(uint64_t number, const struct usher_result *result);

/* "not started", "started", "may have started". */
const char *report_started_text(enum usher_started started);
