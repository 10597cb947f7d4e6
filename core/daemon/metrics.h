/* metrics - measures as text: Prometheus' exposition format for /metrics, and a JSON object for `usherctl stats`.
 * Thread: any. Pure but for memory. */
#pragma once

#include <jansson.h>

#include "core/base/buffer.h"
#include "core/base/macros.h"
#include "core/daemon/measures.h"

/* Appends what a program of that kind has. Every counter appears, those at 0 too. -ENOMEM. */
NODISCARD int metrics_print(const struct measures *measures, enum counter_program program, struct buffer *text);

/* Adds "name{labels}": value to the object. -ENOMEM. */
NODISCARD int metrics_to_json(const struct measures *measures, enum counter_program program, json_t *object);

/* docs/METRICS.md, appended. -ENOMEM. */
NODISCARD int metrics_document(struct buffer *text);
