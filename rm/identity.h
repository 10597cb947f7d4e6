/* identity - who this rm is, over restarts: an ID drawn once, kept in its folder, and an epoch that grows with every start, so that
 * (rm ID, epoch, sequence) orders everything that it ever tells.
 * Thread: any. Blocks: identity_take reads and writes a file; for the start only. */
#pragma once

#include <stdint.h>

#include "core/conf/conf.h"

struct identity {
    uint64_t rm_id; /* not 0 */
    uint64_t epoch; /* milliseconds since 1970, or one more than the last start's, whichever is later */
};

/* Reads FOLDER/identity, or draws `fresh_id`, and writes it with the new epoch. A file that is damaged counts as none: a new ID is
 * always right, since it forces full lists. Negative errno with ret_error set: the folder cannot be written to. */
NODISCARD int identity_take(const char *folder, uint64_t fresh_id, uint64_t now_ms, struct identity *ret_identity,
                            struct conf_error *ret_error);
