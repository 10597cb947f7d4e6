#include "core/base/errors.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct error_row {
    int number;
    const char *name;
    const char *text;
};

static const struct error_row error_rows[] = {
#define ERROR(symbol, number, name, text) {number, name, text},
#include "core/base/errors.def"
#undef ERROR
};

static const struct error_row *error_find(int error)
{
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++)
        if (error_rows[i].number == error)
            return &error_rows[i];
    return NULL;
}

const char *error_name(int error)
{
    const struct error_row *row = error_find(error);
    if (row)
        return row->name;
    const char *name = strerrorname_np(error < 0 ? -error : error);
    return error == 0 ? "ok" : name ? name : "unknown";
}

const char *error_text(int error)
{
    static _Thread_local char text[128];
    const struct error_row *row = error_find(error);
    if (row)
        return row->text;
    if (error == 0)
        return "success";
    /* The GNU strerror_r: the result need not stand in the buffer. */
    return strerror_r(error < 0 ? -error : error, text, sizeof(text));
}
