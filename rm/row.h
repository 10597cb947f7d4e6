/* row - a node as a line of JSON, bit by bit: what is written for each of very many nodes, where printf would be most of the work.
 *
 * Sticky: after the first failure nothing more is written, and row->error says why (-ENOMEM).
 * Thread: any. Memory: the caller's buffer grows. Nothing blocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buffer.h"
#include "core/wire/heartbeat.h"

struct row {
    struct buffer *text;
    int error;
};

void row_bytes(struct row *row, const char *bytes, size_t length);
void row_text(struct row *row, const char *text);

/* What needs no escapes: addresses, names of services and metrics, words of our own. */
void row_quoted(struct row *row, const char *plain);

void row_count(struct row *row, uint64_t count);
void row_bool(struct row *row, bool value);

/* To the millionth; null: no number. */
void row_real(struct row *row, double value);

/* What was a float: in six digits. Finite. */
void row_float(struct row *row, float value);

/* "cpu_use":0.5,… of those whose names we know */
void row_metadata(struct row *row, const struct wire_metadata *metadata, uint8_t count);

/* 16 digits, after what comes before them. */
void row_id(struct row *row, const char *before, uint64_t id);
