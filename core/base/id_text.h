/* id_text - IDs of 64 bits as people and JSON read them: 16 hexadecimal digits.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include <stdint.h>

#include "core/base/macros.h"

#define ID_TEXT_BYTES 17

struct id_text {
    char text[ID_TEXT_BYTES];
};

struct id_text id_text_of(uint64_t id);

/* -EINVAL: not 16 digits of 0-9 and a-f, or NULL. */
NODISCARD int id_text_parse(const char *text, uint64_t *ret_id);
