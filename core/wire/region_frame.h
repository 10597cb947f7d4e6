/* region_frame - a region table as the frame that dispatchers get.
 * Thread: any. Memory: the frame is the caller's buffer. Nothing blocks. */
#pragma once

#include "core/base/buffer.h"
#include "core/base/region_table.h"

/* Appends the REGION_TABLE frame. -ENOMEM; -EMSGSIZE: more than fits into one frame. */
NODISCARD int region_frame_make(const struct region_table *table, struct buffer *frame);
