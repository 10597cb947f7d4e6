/* connection - one request to a daemon's admin socket, and its answer.
 *
 * Thread: any. Memory: the answer belongs to the caller. Blocks, for timeout_ns at a time at most. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "core/conf/conf.h"

/* Sends the words and waits for the answer, an object. Returns 0, or an exit code with ret_error: EXIT_CODE_UNREACHABLE when
 * nobody is there, or nothing comes for timeout_ns, EXIT_CODE_FAILED for the rest. What the daemon answered may be a failure all the same. */
NODISCARD int connection_call(const char *path, const char *const *words, size_t word_count, uint64_t timeout_ns,
                              json_t **ret_answer, struct conf_error *ret_error);

/* Whether somebody accepts connections at the socket. */
bool connection_is_alive(const char *path);
