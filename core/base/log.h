/* log - one line on stderr for each event, with a stable ID from messages.def: only daemons log, once, where the decision is
 * made. docs/MESSAGES.md is made from the same table.
 *
 * Text: "2026-01-31T12:00:00.000Z warn rm-lost rm=127.0.0.1:7300 : text". JSON: one object a line.
 * Thread: any; a line is written by one write(2). May block when stderr does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
};

enum log_message {
#define MESSAGE(symbol, level, id, text) MESSAGE_##symbol,
#include "core/base/messages.def"
#undef MESSAGE
    MESSAGES,
};

struct log_message_row {
    enum log_level level;
    const char *id;
    const char *text; /* what happened and, where something is to be done, what */
};

extern const struct log_message_row log_message_rows[MESSAGES];

struct log_field {
    const char *key; /* NULL ends the list */
    const char *text; /* NULL: the number counts */
    int64_t number;
};

#define LOG_TEXT(key_, text_) ((struct log_field){.key = (key_), .text = (text_)})
#define LOG_NUMBER(key_, number_) ((struct log_field){.key = (key_), .number = (int64_t)(number_)})

/* LOG(MESSAGE_STARTED, LOG_TEXT("listen", text), LOG_NUMBER("threads", 2)); */
#define LOG(message, ...)                                                                                                        \
    log_write((message), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, )(struct log_field){.key = NULL}})

void log_write(enum log_message message, const struct log_field *fields);

/* Before threads start. `program` must stay valid. Default: level info, text. */
void log_configure(const char *program, enum log_level level, bool json);

/* Any time. */
void log_set_level(enum log_level level);
