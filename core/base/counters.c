#include "core/base/counters.h"

const struct counter_row counter_rows[COUNTERS] = {
#define COUNTER(symbol, programs, name, labels, help) {programs, name, labels, help},
#include "core/base/counters.def"
#undef COUNTER
};
