/* report - what a run has shown, for people or as JSON. Prints to stdout. Thread: one. */
#pragma once

#include "bench/load/team.h"
#include "bench/load/verdict.h"

/* Returns the exit code. */
int load_report_print(const struct engine_config *config, const struct team_result *result, bool json);

/* 0 when something was answered; otherwise that there is no node, that nobody is there, or that it failed. */
int load_report_exit_code(const struct tally *tally);

enum verdict load_report_verdict(const struct engine_config *config, const struct team_result *result);

/* Says it on stderr, and with json as {"error", "message"} on stdout too; returns the exit code. */
int load_report_failure(bool json, const char *error, const struct conf_error *why, int exit_code);
