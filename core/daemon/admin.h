/* admin - commands of operators over a unix socket: `usherctl` is the client. A request is one line of words, or a JSON array of
 * strings; the answer is one line with a JSON object: {"ok":true,…} or {"ok":false,"error":NAME,"text":TEXT,"exit":N}.
 *
 * Only root and the daemon's own user are served (SO_PEERCRED). Thread: the control loop's. Nothing blocks. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "core/base/exit_code.h"
#include "core/base/macros.h"

#define ADMIN_LINE_BYTES_MAX 4096
#define ADMIN_WORDS_MAX 64

struct admin_call {
    const char *const *words; /* the arguments, without the command's name */
    size_t word_count;
    json_t *answer; /* object; the handler adds its members */
    char text[256]; /* what went wrong, for admin_fail */
    enum exit_code exit_code;
};

/* 0, or what admin_fail returned. */
typedef int admin_handler(void *state, struct admin_call *call);

struct admin_command {
    const char *name;
    const char *arguments; /* "NODE [--reason TEXT]" */
    size_t words_min;
    size_t words_max;
    const char *help; /* a line without a full stop */
    admin_handler *handler;
};

/* Fills text and exit code; returns `error` (negative), so that a handler can return it. */
int admin_fail(struct admin_call *call, int error, enum exit_code exit_code, const char *format, ...) PRINTF_LIKE(4, 5);

/* The word after `name` ("--reason"), or NULL. */
const char *admin_word_after(const struct admin_call *call, const char *name);
