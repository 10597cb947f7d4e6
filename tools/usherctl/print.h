/* print - a daemon's answer as people read it: single values as aligned lines, lists of objects as tables. It follows the
 * answer's shape, so that a new command needs nothing here.
 * Thread: any. Pure but for memory. */
#pragma once

#include <jansson.h>

#include "core/base/buffer.h"
#include "core/base/macros.h"

/* Appends the answer without its "ok". -ENOMEM. */
NODISCARD int print_answer(json_t *answer, struct buffer *text);
