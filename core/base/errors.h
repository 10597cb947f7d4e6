/* errors - our own error codes, declared once in errors.def, beside the negative errno values that functions return.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

enum usher_error {
#define ERROR(symbol, number, name, text) symbol = (number),
#include "core/base/errors.def"
#undef ERROR
};

/* The stable name ("no-eligible-node"; for an errno value its symbol, "ECONNREFUSED"). Never NULL. */
const char *error_name(int error);

/* One sentence for people, without a full stop. Never NULL. Valid until the thread's next call. */
const char *error_text(int error);
