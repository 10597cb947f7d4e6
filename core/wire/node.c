#include "core/wire/node.h"

#include <stddef.h>

#include "core/base/macros.h"

/* What keeps a node out of use for longer comes first. */
static const struct {
    uint8_t flag;
    const char *name;
} state_rows[] = {
    {WIRE_NODE_ADMIN_DRAIN, "drained"},
    {WIRE_NODE_DRAINING, "leaving"},
    {WIRE_NODE_LAST, "last"},
};

const char *wire_node_state_name(uint8_t flags)
{
    for (size_t i = 0; i < ARRAY_COUNT(state_rows); i++)
        if (flags & state_rows[i].flag)
            return state_rows[i].name;
    return "ready";
}
