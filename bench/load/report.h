/* report - what a run has shown, for people or as JSON. Prints to stdout. Thread: one. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "bench/load/slo.h"
#include "bench/load/team.h"
#include "bench/load/verdict.h"

struct load_report {
    const char *program; /* "usher-load ask" */
    const char *what; /* "requests" */
    bool open_loop;
    const struct team_result *result;
    const struct slo *slo;
    FILE *hdr; /* where the spectrum goes; NULL: nowhere. Owned by the report */
    json_t *more; /* an object whose members are the command's own; NULL: none. Owned by the report */
    void (*print_more)(const void *context); /* and the command's own lines; NULL: none */
    const void *context;
};

/* Before a run: whether there is somewhere to print, and opens the file of --hdr (NULL: none). What an older run wrote there stays until
 * the report is written. Negative errno with ret_error. */
NODISCARD int load_report_open(const char *hdr_path, FILE **ret_hdr, struct conf_error *ret_error);

/* Prints it all, closes `hdr` and frees `more`. Returns the exit code: 1 also when an slo is missed, or was asked for and the run is VOID. */
int load_report_print(struct load_report *report, bool json);

/* 0 when something was answered; otherwise that there is no node, that nobody is there, or that it failed. */
int load_report_exit_code(const struct team_result *result);

enum verdict load_report_verdict(const struct load_report *report);

/* Says it on stderr, and with json as {"error", "message"} on stdout too; returns the exit code. */
int load_report_failure(const char *program, bool json, const char *error, const struct conf_error *why, int exit_code);

/* What to do where nothing was answered; NULL: something was. */
const char *load_report_advice(const struct load_report *report);

/* mean, p50 … max of a histogram whose unit is so many microseconds. */
json_t *load_report_spectrum(const struct histogram *histogram, double unit_us);

#define LOAD_REPORT_TIME_BYTES 32

/* "1.23 ms" */
const char *load_report_time(double us, char text[static LOAD_REPORT_TIME_BYTES]);

/* For report_json.c and report_text.c. */
struct load_report_quantile {
    const char *name; /* in JSON */
    const char *text;
    double fraction;
};
#define LOAD_REPORT_QUANTILES 5
extern const struct load_report_quantile load_report_quantiles[LOAD_REPORT_QUANTILES];

double load_report_per_second(const struct team_result *result, uint64_t count);
json_t *load_report_json(const struct load_report *report);
void load_report_print_text(const struct load_report *report);
