/* check - a daemon's health as monitoring plugins tell it: one line, and an exit code of 0 to 3 (Monitoring Plugins Development
 * Guidelines; requirement N10).
 *
 * Thread: any. Blocks for as long as asking the daemon takes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum check_result {
    CHECK_OK,
    CHECK_WARNING,
    CHECK_CRITICAL,
    CHECK_UNKNOWN,
};

/* path: the daemon's socket. conditions: METRIC=WARNING[:CRITICAL] each; above, or, where CRITICAL is the lower one, below which it
 * counts. Prints the line; returns the exit code. */
enum check_result check_run(const char *path, const char *const *conditions, size_t count, uint64_t timeout_ns);

/* The line for what could not even be asked: UNKNOWN, or CRITICAL for a daemon that is not there. Returns the result. */
enum check_result check_fail(enum check_result result, const char *why);
