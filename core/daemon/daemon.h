/* daemon - the life that usher-rm, usher-dispatcher and usher-worker have in common: arguments, configuration, log, limits,
 * control loop, start, run, drain, stop; with an admin socket, /metrics and /healthz on the way. What a daemon is for stands in
 * its hooks; its state is its own, core/daemon keeps only the pointer.
 *
 * SIGTERM or SIGINT: DRAIN_ANNOUNCE at once, DRAIN_REFUSE after --drain-accept, DRAIN_ABANDON after --drain-limit more; the
 * program calls daemon_drained when nothing is left. A second signal goes on to DRAIN_ABANDON at once. Exit code 0.
 * SIGHUP: the configuration is read and checked again; options settable at run time are applied, of the others that changed the
 * log says that they need a restart. It also undoes what `usherctl set` changed.
 *
 * Thread: daemon_main runs the control loop on the calling thread; all hooks run there. These signals are blocked in every
 * thread that the program starts, so that they need no care; a child process must unblock them before its exec
 * (posix_spawnattr_setsigmask). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/conf.h"
#include "core/daemon/admin.h"
#include "core/daemon/measures.h"
#include "core/http/server.h"
#include "core/io/loop.h"

struct daemon;

/* The options of every daemon: a member of each daemon's options struct, described by one entry of its tables. */
struct daemon_options {
#define OPTION(kind, field, ...) CONF_TYPE_##kind field;
#include "core/daemon/options.def"
#undef OPTION
};

/* Its rows, in order; the last name is their number. */
enum daemon_option {
#define OPTION(kind, field, ...) DAEMON_OPTION_##field,
#include "core/daemon/options.def"
#undef OPTION
    DAEMON_OPTIONS,
};

extern const struct conf_option daemon_option_rows[DAEMON_OPTIONS];

/* The entry for conf_program.tables: {DAEMON_TABLE(struct worker_options, daemon)}. */
#define DAEMON_TABLE(options_type, member)                                                                                       \
    .title = "Options of every daemon", .rows = daemon_option_rows, .row_count = DAEMON_OPTIONS,                                 \
    .offset = offsetof(options_type, member)

enum drain_phase {
    DRAIN_ANNOUNCE, /* tell the others; still accept work */
    DRAIN_REFUSE, /* accept no more; answer what has not been started; what runs may finish */
    DRAIN_ABANDON, /* stop what runs, now; the daemon ends within a second, drained or not */
};

#define DAEMON_REASON_BYTES 160

/* Only check, start and stop are needed by all; the others may be NULL. `state` is what start has returned. */
struct daemon_program {
    const struct conf_program *conf;
    size_t daemon_offset; /* of struct daemon_options in the options struct */
    size_t listen_offset; /* of the service address (struct address, --listen) in it */
    enum counter_program counter_program;
    const struct admin_command *commands; /* beside status, stats, set and help */
    size_t command_count;

    /* What one row alone cannot say; at start, with -t, and before a reload. -EINVAL with ret_error. Opens nothing. Of options
     * settable at run time only rows are checked when they are set one by one. */
    int (*check)(const void *options, struct conf_error *ret_error);

    /* Builds everything and starts the program's threads. `options` stays valid until after stop; later only the control thread
     * may read it, since options change at run time. Negative with ret_error: the daemon exits with EXIT_CODE_FAILED. */
    int (*start)(struct daemon *daemon, const void *options, void **ret_state, struct conf_error *ret_error);

    /* Called with each phase in turn, also when a second signal skips the waiting. NULL: the daemon ends at once. */
    void (*drain)(void *state, enum drain_phase phase);

    /* Ends the threads and frees the state. */
    void (*stop)(void *state);

    /* An option was changed at run time; `options` holds the new value. Hand it to the threads that need it. */
    void (*changed)(void *state, const struct conf_option *option);

    /* SIGHUP, after the configuration was read again and changed options were handed over: for files that options name, whose content
     * may have changed. What went wrong is the program's to log. */
    void (*reloaded)(void *state);

    /* Adds members to the object that `status` answers with. */
    void (*status)(void *state, json_t *answer);

    /* Adds every thread's block of counters and every loop but the control loop, and sets the gauges. */
    void (*measure)(void *state, struct measures *measures);

    /* False: unfit for its work, for the reason given, such as "no directory yet"; /healthz answers 503. True with a reason: does
     * its work, but something is wrong that an operator should know. ret_reason is "" before. Draining is known without it. */
    bool (*healthy)(void *state, char ret_reason[static DAEMON_REASON_BYTES]);

    /* Answers what is asked on --http beside /metrics and /healthz. NULL: nothing else is there. As http_on_request in
     * core/http/server.h, with the limits beside it. */
    int (*http)(void *state, const struct http_request *request, struct http_answer *answer);
    uint32_t http_body_bytes_max;
    uint32_t http_connections_max;
};

/* The whole life; returns the exit code for main. */
int daemon_main(const struct daemon_program *program, int argc, char **argv);

/* For hooks. */
struct loop *daemon_loop(const struct daemon *daemon);
enum loop_kind daemon_loop_kind(const struct daemon *daemon); /* what the program's other loops shall ask for */

/* A loop of the program's own has been made: where it works with less than it asked for, the log says so (once) and `status` too. */
void daemon_look_at_loop(struct daemon *daemon, const struct loop *loop);
/* How many connections each of `shares` listeners may take at a time, 1 … connections_max, when they share what descriptors the daemon has
 * but a reserve for itself. When all together are fewer than `expected`, the log says so. */
uint32_t daemon_connections_max(uint32_t shares, uint32_t connections_max, uint32_t expected);
const char *daemon_state_dir(const struct daemon *daemon); /* this daemon's own folder, mode 0700 */
uint64_t daemon_boot_id(const struct daemon *daemon); /* random, not 0, new at each start */

/* The program's services are bound: what the log and `status` show. Needed when --listen has port 0. */
void daemon_set_listen_address(struct daemon *daemon, const struct address *address);

/* What others shall call this daemon: --advertise, or the address it listens on. */
struct address daemon_advertised_address(const struct daemon *daemon);

/* For check hooks: the same, as far as the options tell. */
struct address daemon_address_of(const struct daemon_options *options, const struct address *listen);

/* Nothing is running any more after DRAIN_REFUSE or DRAIN_ABANDON: the daemon ends. */
void daemon_drained(struct daemon *daemon);

/* For check hooks. Without keys, whoever reaches this port can steer the cluster, and with rm's --http too: without --insecure only
 * loopback will do, for both. Also refuses a wildcard without --advertise, and what is no address to --advertise. -EINVAL with ret_error. */
NODISCARD int daemon_check_listen(const struct daemon_options *options, const struct address *listen,
                                  struct conf_error *ret_error);

/* What to raise when a start failed for want of something: "; allow …", or "". */
const char *daemon_limits_remedy(int error);

/* For start hooks: says why an address given with `option` ("listen") cannot be listened on. Returns `error`. */
int daemon_fail_listen(struct conf_error *ret_error, const char *option, const struct address *address, int error);
