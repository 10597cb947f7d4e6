/* worker - a node and nothing else: accepts connections for it, answers stray datagrams, and tells the log and operators about it.
 *
 * Hooks for core/daemon; `state` is a struct worker. Thread: the control loop's. Memory: worker_start allocates, worker_stop frees. */
#pragma once

#include "core/daemon/daemon.h"

int worker_check(const void *options, struct conf_error *ret_error);
int worker_start(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error);
void worker_drain(void *state, enum drain_phase phase);
void worker_stop(void *state);
void worker_changed(void *state, const struct conf_option *option);
void worker_status(void *state, json_t *answer);
void worker_measure(void *state, struct measures *measures);
bool worker_healthy(void *state, char ret_reason[static DAEMON_REASON_BYTES]);
