#include "rm/node.h"

#include "core/base/check.h"

const char *node_state_name(enum node_state state)
{
    static const char *const names[NODE_STATES] = {
        [NODE_REGISTERED] = "registered",
        [NODE_FRESH] = "fresh",
        [NODE_LAST] = "last",
        [NODE_FAULTY] = "faulty",
    };
    CHECK(state < NODE_STATES);
    return names[state];
}

const char *node_word(const struct node *node)
{
    bool kept_out = node_is_drained(node) || (node->flags & WIRE_NODE_DRAINING) != 0;
    if (kept_out || node_is_listed(node))
        return wire_node_state_name(node_listed_flags(node));
    return node_state_name((enum node_state)node->state);
}

void node_list_init(struct node_list *list)
{
    *list = (struct node_list){.head = NODE_NONE, .tail = NODE_NONE};
}

void node_list_append(struct node_list *list, struct node *nodes, uint32_t slot, enum node_list_kind kind)
{
    struct node_link *link = &nodes[slot].links[kind];
    *link = (struct node_link){.previous = list->tail, .next = NODE_NONE};
    if (list->tail == NODE_NONE)
        list->head = slot;
    else
        nodes[list->tail].links[kind].next = slot;
    list->tail = slot;
    list->count++;
}

void node_list_remove(struct node_list *list, struct node *nodes, uint32_t slot, enum node_list_kind kind)
{
    const struct node_link *link = &nodes[slot].links[kind];
    CHECK(list->count > 0);
    if (link->previous == NODE_NONE)
        list->head = link->next;
    else
        nodes[link->previous].links[kind].next = link->next;
    if (link->next == NODE_NONE)
        list->tail = link->previous;
    else
        nodes[link->next].links[kind].previous = link->previous;
    list->count--;
}
