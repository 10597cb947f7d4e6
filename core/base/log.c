#include "core/base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

const struct log_message_row log_message_rows[MESSAGES] = {
#define MESSAGE(symbol, level, id, text) {level, id, text},
#include "core/base/messages.def"
#undef MESSAGE
};

#define LOG_LINE_BYTES 2048
/* Long values are cut so early that what follows them, and the end of a JSON object, still fits. */
#define LOG_LINE_TAIL_BYTES 512

static const char *const log_level_names[] = {"error", "warn", "info", "debug"};

static const char *log_program = "usher";
static _Atomic enum log_level log_level_max = LOG_INFO; /* may change while threads log */
static bool log_json;

/* A line being written; what does not fit is cut, never overrun. */
struct log_line {
    char bytes[LOG_LINE_BYTES];
    size_t length;
};

static void line_put(struct log_line *line, const char *text)
{
    size_t room = sizeof(line->bytes) - 2 - line->length;
    size_t length = strnlen(text, room);
    memcpy(line->bytes + line->length, text, length);
    line->length += length;
}

/* Quotes what a peer may have written into a name, so that it cannot forge a line. */
static void line_put_quoted(struct log_line *line, const char *text)
{
    char escape[8];
    line_put(line, "\"");
    for (; *text && line->length < sizeof(line->bytes) - LOG_LINE_TAIL_BYTES; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof(escape), "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            snprintf(escape, sizeof(escape), "\\u%04x", byte);
        else
            snprintf(escape, sizeof(escape), "%c", byte);
        line_put(line, escape);
    }
    line_put(line, "\"");
}

static bool text_is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '\\' || *text == '=' || (unsigned char)*text == 0x7f)
            return false;
    return true;
}

static void line_put_value(struct log_line *line, const struct log_field *field)
{
    char number[24];
    snprintf(number, sizeof(number), "%" PRId64, field->number);
    if (!field->text)
        line_put(line, number);
    else if (!log_json && text_is_plain(field->text))
        line_put(line, field->text);
    else
        line_put_quoted(line, field->text);
}

static void line_put_time(struct log_line *line)
{
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / MS_PER_S);
    struct tm utc;
    char text[40];
    gmtime_r(&seconds, &utc);
    size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, sizeof(text) - length, ".%03uZ", (unsigned)(now_ms % MS_PER_S));
    line_put(line, text);
}

static void line_write_text(struct log_line *line, const struct log_message_row *row, const struct log_field *fields)
{
    line_put_time(line);
    line_put(line, " ");
    line_put(line, log_level_names[row->level]);
    line_put(line, " ");
    line_put(line, row->id);
    for (; fields->key; fields++) {
        line_put(line, " ");
        line_put(line, fields->key);
        line_put(line, "=");
        line_put_value(line, fields);
    }
    line_put(line, " : ");
    line_put(line, row->text);
}

static void line_write_json(struct log_line *line, const struct log_message_row *row, const struct log_field *fields)
{
    line_put(line, "{\"time\":\"");
    line_put_time(line);
    line_put(line, "\",\"program\":\"");
    line_put(line, log_program);
    line_put(line, "\",\"level\":\"");
    line_put(line, log_level_names[row->level]);
    line_put(line, "\",\"id\":\"");
    line_put(line, row->id);
    line_put(line, "\"");
    for (; fields->key; fields++) {
        line_put(line, ",\"");
        line_put(line, fields->key);
        line_put(line, "\":");
        line_put_value(line, fields);
    }
    line_put(line, ",\"text\":\"");
    line_put(line, row->text);
    line_put(line, "\"}");
}

void log_write(enum log_message message, const struct log_field *fields)
{
    const struct log_message_row *row = &log_message_rows[message];
    struct log_line line = {.length = 0};
    if (row->level > atomic_load_explicit(&log_level_max, memory_order_relaxed))
        return;
    if (log_json)
        line_write_json(&line, row, fields);
    else
        line_write_text(&line, row, fields);
    line.bytes[line.length++] = '\n';
    /* A log that cannot be written must not stop a daemon. */
    if (write(STDERR_FILENO, line.bytes, line.length) < 0)
        return;
}

void log_configure(const char *program, enum log_level level, bool json)
{
    log_program = program;
    log_json = json;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level_max, level, memory_order_relaxed);
}
