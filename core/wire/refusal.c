#include "core/wire/refusal.h"

#include "core/base/check.h"

struct refusal_row {
    const char *text;
    enum counter counter;
};

static const struct refusal_row refusal_rows[REFUSALS] = {
    [REFUSAL_NONE] = {"nothing is wrong", COUNTERS},
#define REFUSAL(symbol, name, text) [REFUSAL_##symbol] = {text, COUNTER_MALFORMED_##symbol},
#include "core/base/refusals.def"
#undef REFUSAL
};

static const struct refusal_row *refusal_row(enum refusal refusal)
{
    CHECK(refusal >= REFUSAL_NONE && refusal < REFUSALS);
    return &refusal_rows[refusal];
}

const char *refusal_text(enum refusal refusal)
{
    return refusal_row(refusal)->text;
}

enum counter refusal_counter(enum refusal refusal)
{
    CHECK(refusal != REFUSAL_NONE);
    return refusal_row(refusal)->counter;
}
