/* internal - one daemon's life, as the files of core/daemon share it. Thread: the control loop's. */
#pragma once

#include <limits.h>

#include "core/daemon/daemon.h"
#include "core/http/server.h"
#include "core/io/poll.h"
#include "core/io/timer.h"

/* sun_path of a unix socket with its NUL. */
#define SOCKET_PATH_BYTES 108

struct daemon {
    const struct daemon_program *program;
    int argc;
    char *const *argv;
    void *options; /* the program's struct; */
    struct daemon_options *own; /* … and the part of it that is ours */
    struct loop *loop;
    void *self; /* the daemon, for the table of commands that all have */
    void *state; /* the program's; NULL until it has started */
    struct admin_table tables[2];
    struct admin_server *admin;
    struct http_server *http;
    struct poll_watch signals;
    struct timer drain_timer;
    struct timer accepts_timer;
    uint64_t accepts_failed; /* as of the last look */
    uint64_t accepts_told_ns; /* when the log last said so; 0: never */
    int signal_fd;
    bool draining;
    bool ending; /* after DRAIN_ABANDON */
    bool reload_failed;
    enum drain_phase phase; /* the last one entered, while draining */
    uint64_t boot_id;
    uint64_t start_ns;
    uint64_t start_wall_ms;
    struct address listen;
    char io_shortage[LOOP_REASON_BYTES]; /* of the first loop that had one; "" */
    bool state_made; /* by us, and not found */
    bool state_temporary; /* of this process alone */
    char state_dir[PATH_MAX];
    char admin_path[SOCKET_PATH_BYTES];
};

extern const struct admin_command daemon_commands[];
extern const size_t daemon_command_count;

/* paths.c: finds and makes the folders; fills state_dir and admin_path. */
NODISCARD int daemon_make_paths(struct daemon *daemon, struct conf_error *ret_error);

/* Likewise: whether that would do; makes nothing. */
NODISCARD int daemon_check_paths(struct daemon *daemon, struct conf_error *ret_error);

/* Likewise: removes the folder when it is temporary, or when a start that failed left it empty. After everything was closed. */
void daemon_leave_paths(struct daemon *daemon, bool started);

/* signals.c */
NODISCARD int daemon_open_signals(struct daemon *daemon);
void daemon_close_signals(struct daemon *daemon);

/* drain.c: the first or second order to end. */
void daemon_drain(struct daemon *daemon);

/* reload.c */
void daemon_reload(struct daemon *daemon);
NODISCARD int daemon_set_option(struct daemon *daemon, const char *name, const char *value, struct conf_error *ret_error);

/* watch.c: what others may see. */
void daemon_measure(struct daemon *daemon, struct measures *ret_measures);
bool daemon_healthy(const struct daemon *daemon, char ret_reason[static DAEMON_REASON_BYTES]);
void daemon_watch_accepts(struct daemon *daemon); /* begins to */
NODISCARD int daemon_open_http(struct daemon *daemon, struct conf_error *ret_error);
