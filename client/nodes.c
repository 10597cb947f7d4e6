#include "client/nodes.h"

#define NODES_TIMEOUTS_TO_MARK 2

void nodes_init(struct nodes *nodes, uint64_t fault_time_ns)
{
    *nodes = (struct nodes){.fault_time_ns = fault_time_ns};
}

static struct node_record *nodes_find(struct nodes *nodes, const struct address *node)
{
    for (uint32_t i = 0; i < NODES_MAX; i++)
        if (address_equal(&nodes->record[i].address, node))
            return &nodes->record[i];
    return NULL;
}

/* The node's record, or the one to be given up first (a free one has the time 0). */
static struct node_record *nodes_take(struct nodes *nodes, const struct address *node, uint64_t now_ns)
{
    struct node_record *record = nodes_find(nodes, node);
    if (record && record->forget_at_ns > now_ns)
        return record;
    if (!record) {
        record = &nodes->record[0];
        for (uint32_t i = 1; i < NODES_MAX; i++)
            if (nodes->record[i].forget_at_ns < record->forget_at_ns)
                record = &nodes->record[i];
    }
    *record = (struct node_record){.address = *node};
    return record;
}

static void nodes_mark(struct nodes *nodes, struct node_record *record, uint64_t now_ns)
{
    if (record->marked_until_ns <= now_ns)
        nodes->faults++;
    record->marked_until_ns = now_ns + nodes->fault_time_ns;
}

void nodes_on_refusal(struct nodes *nodes, const struct address *node, uint64_t now_ns)
{
    struct node_record *record = nodes_take(nodes, node, now_ns);
    nodes_mark(nodes, record, now_ns);
    record->forget_at_ns = record->marked_until_ns;
}

void nodes_on_timeout(struct nodes *nodes, const struct address *node, uint64_t now_ns)
{
    struct node_record *record = nodes_take(nodes, node, now_ns);
    if (++record->timeouts >= NODES_TIMEOUTS_TO_MARK)
        nodes_mark(nodes, record, now_ns);
    /* A job's timeout takes long to notice: the second one counts even if it comes a few fault times later. */
    record->forget_at_ns = now_ns + 4 * nodes->fault_time_ns;
}

void nodes_on_answer(struct nodes *nodes, const struct address *node)
{
    struct node_record *record = nodes_find(nodes, node);
    if (record)
        *record = (struct node_record){0};
}

static bool nodes_contains(const struct address *addresses, uint32_t count, const struct address *address)
{
    for (uint32_t i = 0; i < count; i++)
        if (address_equal(&addresses[i], address))
            return true;
    return false;
}

uint32_t nodes_exclude(const struct nodes *nodes, uint64_t now_ns, struct address *excludes, uint32_t count, uint32_t capacity)
{
    for (uint32_t i = 0; i < NODES_MAX && count < capacity; i++) {
        const struct node_record *record = &nodes->record[i];
        if (record->marked_until_ns > now_ns && !nodes_contains(excludes, count, &record->address))
            excludes[count++] = record->address;
    }
    return count;
}
