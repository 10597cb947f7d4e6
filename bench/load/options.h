/* options - what the commands of usher-load have in common around a run: options that no table can check alone, signals, whose CPU is
 * looked at. Thread: the program's first. */
#pragma once

#include <signal.h>

#include "bench/load/cpu.h"
#include "core/conf/conf.h"

/* "max" gives 0. -EINVAL with ret_error. */
NODISCARD int load_parse_rate(const char *text, double *ret_rate, struct conf_error *ret_error);

/* Copies at most CPU_SERVERS_MAX dispatchers. -EINVAL with ret_error: none, more, or one without a port. */
NODISCARD int load_take_dispatchers(const struct conf_addresses *dispatchers, struct address *ret_addresses, uint32_t *ret_count,
                                    struct conf_error *ret_error);

/* The processes of the servers, or that of --server-pid. -EINVAL with ret_error: there is no such process. */
NODISCARD int load_find_servers(uint32_t server_pid, const struct address *addresses, uint32_t count, bool tcp,
                                struct cpu_servers *ret_servers, struct conf_error *ret_error);

/* Sets ret_error and returns -EINVAL. */
NODISCARD int load_refuse(struct conf_error *ret_error, const char *text);

/* 0 stands for another one each time. */
uint64_t load_seed(uint64_t seed);

/* Counts SIGINT and SIGTERM from now on, up to 2. */
const volatile sig_atomic_t *load_catch_signals(void);

/* For what a run that could not begin has returned. */
int load_failure_exit_code(int error);
