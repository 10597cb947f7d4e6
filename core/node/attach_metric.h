/* attach_metric - a number found by name on a page of text: Prometheus' text exposition, and lines such as stub_status' "Active
 * connections: 291". Pure.
 *
 * A line counts when it begins with the name, blanks before it aside, and then has a blank, a colon, an equals sign, or labels in braces;
 * the number is what follows. Where several lines count, as those of one metric with different labels, it is their sum. A name that
 * contains a brace is compared with its labels, as they stand on the page.
 * Thread: any. Nothing blocks or allocates. */
#pragma once

#include <stddef.h>

#include "core/base/macros.h"

/* More is a mistake on the page, and no count of jobs. */
#define ATTACH_METRIC_MAX 1e9

/* -ENOENT: no line counts. -ERANGE: what stands there is no number, or the sum is below 0 or above ATTACH_METRIC_MAX. */
NODISCARD int attach_metric_find(const char *page, size_t length, const char *name, double *ret_value);
