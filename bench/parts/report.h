/* report - what bench-micro prints.
 * Thread: the program's main thread. */
#pragma once

#include <jansson.h>

#include "bench/parts/micro.h"

void report_print(const struct micro *micro);

/* NULL: out of memory. */
json_t *report_json(const struct micro *micro);
