/* limit - bare echoes: servers that send back what they receive and do nothing else. What they reach is what the kernel leaves to
 * any server on this machine, so the suite measures the dispatcher as a share of it.
 *
 * Each path is set up as well as we know how, and short enough to see that nothing is in it. They trust their client: one that does
 * not read its answers over TCP is cut off, since keeping what it leaves would be work that a bare echo does not have.
 * Thread: the program's only one. Blocks until a signal ends it. */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "core/conf/conf.h"

#define LIMIT_DESCRIPTORS_MAX 65536

struct limit_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "bench/limit/limit.def"
#undef OPTION
};

/* Set by SIGINT and SIGTERM, which also interrupt what blocks. */
extern volatile sig_atomic_t limit_stopped;

/* One for each path: echoes on a socket of limit_listen until limit_stopped. Returns 0, or a negative errno with ret_error. */
NODISCARD int limit_udp_recvmmsg(const struct limit_options *options, int fd, struct conf_error *ret_error);
NODISCARD int limit_udp_uring(const struct limit_options *options, int fd, struct conf_error *ret_error);
NODISCARD int limit_udp_gso(const struct limit_options *options, int fd, struct conf_error *ret_error);
NODISCARD int limit_tcp_epoll(const struct limit_options *options, int fd, struct conf_error *ret_error);
NODISCARD int limit_tcp_uring(const struct limit_options *options, int fd, struct conf_error *ret_error);

/* A bound UDP socket, or a listening TCP one, and "listening on ADDR" on stdout, for whoever started the program. A negative errno
 * with ret_error. */
NODISCARD int limit_listen(const struct limit_options *options, bool tcp, int *ret_fd, struct conf_error *ret_error);

/* Sets ret_error to "WHAT failed (TEXT)" and returns the error. */
NODISCARD int limit_fail(int error, const char *what, struct conf_error *ret_error);
