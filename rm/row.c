#include "rm/row.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/decimal.h"
#include "core/base/id_text.h"

/* Numbers in between are written in millionths, others by printf, which takes ten times as long. */
#define REAL_MIN 0.01
#define REAL_MAX 1e9

void row_bytes(struct row *row, const char *bytes, size_t length)
{
    if (row->error == 0)
        row->error = buffer_append(row->text, bytes, length);
}

void row_text(struct row *row, const char *text)
{
    row_bytes(row, text, strlen(text));
}

void row_quoted(struct row *row, const char *plain)
{
    row_bytes(row, "\"", 1);
    row_text(row, plain);
    row_bytes(row, "\"", 1);
}

void row_count(struct row *row, uint64_t count)
{
    char digits[DECIMAL_TEXT_BYTES];
    row_bytes(row, digits, decimal_format(count, digits));
}

void row_bool(struct row *row, bool value)
{
    row_text(row, value ? "true" : "false");
}

void row_real(struct row *row, double value)
{
    char digits[DECIMAL_TEXT_BYTES];
    if (value == 0 || (value >= REAL_MIN && value <= REAL_MAX)) {
        row_bytes(row, digits, decimal_format_millionths((uint64_t)(value * 1e6 + 0.5), digits));
    } else if (isfinite(value)) {
        snprintf(digits, sizeof(digits), "%.7g", value);
        row_text(row, digits);
    } else {
        row_text(row, "null");
    }
}

void row_float(struct row *row, float value)
{
    char digits[DECIMAL_TEXT_BYTES];
    row_bytes(row, digits, decimal_format_six((double)value, digits));
}

void row_metadata(struct row *row, const struct wire_metadata *metadata, uint8_t count)
{
    const char *before = "";
    for (uint8_t i = 0; i < count; i++) {
        const char *name = wire_metadata_name(metadata[i].key);
        if (!name)
            continue;
        row_text(row, before);
        row_quoted(row, name);
        row_bytes(row, ":", 1);
        row_float(row, metadata[i].value);
        before = ",";
    }
}

void row_id(struct row *row, const char *before, uint64_t id)
{
    row_text(row, before);
    row_text(row, id_text_of(id).text);
}
