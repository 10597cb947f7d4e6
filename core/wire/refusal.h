/* refusal - why a received frame was refused. Every reason has a name and a counter; the table is core/base/refusals.def.
 * Thread: any. Nothing here blocks or allocates. */
#pragma once

#include "core/base/counters.h"

enum refusal {
    REFUSAL_NONE = 0,
#define REFUSAL(symbol, name, text) REFUSAL_##symbol,
#include "core/base/refusals.def"
#undef REFUSAL
    REFUSALS,
};

/* One sentence for people, without a full stop. Never NULL. */
const char *refusal_text(enum refusal refusal);

/* What to count; not for REFUSAL_NONE. */
enum counter refusal_counter(enum refusal refusal);
