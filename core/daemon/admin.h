/* admin - commands of operators over a unix socket; `usherctl` is the client. A request is one line of words, or a JSON array
 * of strings; the answer is one line with a JSON object: {"ok":true,…} or {"ok":false,"error":NAME,"text":TEXT,"exit":N}.
 *
 * Limits: lines of 4 KiB, 5 s for a line however it drips, 30 s idle or without reading of a long answer, 16 connections. A client must
 * not close its sending side before it has its answer. Only root and the daemon's own user are served (SO_PEERCRED).
 * Thread: the control loop's. Memory: the server's own. Nothing blocks. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buffer.h"
#include "core/base/exit_code.h"
#include "core/base/macros.h"
#include "core/io/pieces.h"

#define ADMIN_LINE_BYTES_MAX 4096
#define ADMIN_WORDS_MAX 64
#define ADMIN_CONNECTIONS_MAX 16

struct loop;
struct admin_later;

/* What a handler returns that has called admin_defer, or that has set call->pieces. */
#define ADMIN_LATER 1
#define ADMIN_PIECES 2

struct admin_call {
    const char *const *words; /* the arguments, without the command's name */
    size_t word_count;
    json_t *answer; /* an object; the handler adds its members */
    enum exit_code exit_code; /* after a failure */
    char text[512]; /* what went wrong and what to do */
    bool can_wait;
    struct admin_later *later; /* admin_defer's */
    struct pieces pieces; /* make the whole line of a long answer, newline included: {"ok":true,…} */
};

/* 0, ADMIN_LATER, ADMIN_PIECES, or what admin_fail returned. */
typedef int admin_handler(void *state, struct admin_call *call);

struct admin_command {
    const char *name;
    const char *arguments; /* "NODE [--reason TEXT]" */
    size_t words_min;
    size_t words_max;
    const char *help; /* a line without a full stop */
    admin_handler *handler;
};

/* Commands that share a state. Tables stay valid as long as the server. */
struct admin_table {
    const struct admin_command *commands;
    size_t count;
    void *const *state; /* where the pointer to hand to the handlers stands at the time of a call */
};

/* For handlers. Fills text and exit code; returns `error` (negative). */
int admin_fail(struct admin_call *call, int error, enum exit_code exit_code, const char *format, ...) PRINTF_LIKE(4, 5);

/* For a handler whose answer depends on what has yet to come: `later` is to be finished once, from the loop, within seconds, whether the
 * client is still there or not. NULL: it must answer now (nobody waits, or out of memory). */
struct admin_later *admin_defer(struct admin_call *call);
void admin_defer_cancel(struct admin_call *call); /* it answers now after all */
json_t *admin_later_answer(struct admin_later *later); /* the call's, to be added to */
void admin_later_finish(struct admin_later *later);
/* The same when nothing came of it: as admin_fail tells it. */
void admin_later_fail(struct admin_later *later, int error, enum exit_code exit_code, const char *format, ...) PRINTF_LIKE(4, 5);

/* For a command whose words from `first` on are NAME ("--reason") and its value, or nothing: the value, or NULL. Anything else is
 * refused (admin_fail): -EINVAL. */
NODISCARD int admin_option(struct admin_call *call, size_t first, const char *name, const char **ret_value);

/* One request: line[0 … length-1] without its newline. Appends the answer with a newline. -ENOMEM. */
NODISCARD int admin_execute(const struct admin_table *tables, size_t table_count, const char *line, size_t length,
                            struct buffer *answer);

/* What an answer is still to come from. */
struct admin_rest {
    struct admin_later *later; /* ADMIN_LATER: from its on_answer, in which answer may be NULL: out of memory */
    struct pieces pieces; /* ADMIN_PIECES: from these, which are the caller's */
};

/* The same for who can wait: the answer, or ADMIN_LATER or ADMIN_PIECES with the rest. */
typedef void admin_on_answer(void *ctx, const struct buffer *answer);
NODISCARD int admin_execute_or_wait(const struct admin_table *tables, size_t table_count, const char *line, size_t length,
                                    struct buffer *answer, admin_on_answer *on_answer, void *ctx, struct admin_rest *ret_rest);

/* Who waited is gone: on_answer is not called any more. */
void admin_later_abandon(struct admin_later *later);

struct admin_server;

struct admin_config {
    struct loop *loop;
    const char *path;
    const struct admin_table *tables;
    size_t table_count;
};

/* -EADDRINUSE: somebody answers there. -ENAMETOOLONG, -EACCES, -ENOMEM … */
NODISCARD int admin_server_new(const struct admin_config *config, struct admin_server **ret_server);

/* Closes all connections and removes the socket. NULL is a no-op. */
void admin_server_free(struct admin_server *server);
