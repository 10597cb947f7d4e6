#include "rm/changes.h"

#include "core/base/check.h"

void changes_mark_dirty(struct cluster *cluster, uint32_t slot)
{
    if (cluster->nodes[slot].dirty)
        return;
    cluster->nodes[slot].dirty = true;
    node_list_append(&cluster->dirty, cluster->nodes, slot, NODE_LIST_DIRTY);
}

void changes_mark_words_dirty(struct cluster *cluster)
{
    for (uint32_t slot = cluster->words.head; slot != NODE_NONE; slot = cluster->nodes[slot].links[NODE_LIST_WORDS].next) {
        cluster->nodes[slot].admin_dirty = true;
        changes_mark_dirty(cluster, slot);
    }
}

void changes_mark_all_dirty(struct cluster *cluster)
{
    for (uint32_t slot = 0; slot < cluster->slot_count; slot++) {
        struct node *node = &cluster->nodes[slot];
        if (node->address.family == ADDRESS_NONE)
            continue;
        node->metadata_dirty = true;
        node->fault_mirrored = true; /* it may stand there: a return takes it out */
        changes_mark_dirty(cluster, slot);
    }
}

void changes_touch(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    CHECK(node_is_listed(node));
    if (node->changed_sequence != 0)
        node_list_remove(&cluster->changes, cluster->nodes, slot, NODE_LIST_CHANGES);
    node->changed_sequence = ++cluster->sequence;
    node_list_append(&cluster->changes, cluster->nodes, slot, NODE_LIST_CHANGES);
    changes_mark_dirty(cluster, slot);
}

void changes_remove(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    struct cluster_removal *removal = &cluster->removals[cluster->removal_count % CLUSTER_REMOVALS_MAX];
    CHECK(!node_is_listed(node) && node->changed_sequence != 0);
    node_list_remove(&cluster->changes, cluster->nodes, slot, NODE_LIST_CHANGES);
    node->changed_sequence = 0;
    if (cluster->removal_count >= CLUSTER_REMOVALS_MAX)
        cluster->removal_floor = removal->sequence;
    *removal = (struct cluster_removal){.sequence = ++cluster->sequence, .address = node->address};
    cluster->removal_count++;
    changes_mark_dirty(cluster, slot);
}

bool changes_reach_back_to(const struct cluster *cluster, uint64_t base)
{
    return base >= cluster->removal_floor && base <= cluster->sequence;
}

static const struct cluster_removal *removal_at(const struct cluster *cluster, uint64_t number)
{
    return &cluster->removals[number % CLUSTER_REMOVALS_MAX];
}

/* The number of the first removal after `base`, by bisection: the ring is ordered. */
static uint64_t removal_after(const struct cluster *cluster, uint64_t base)
{
    uint64_t high = cluster->removal_count;
    uint64_t low = high > CLUSTER_REMOVALS_MAX ? high - CLUSTER_REMOVALS_MAX : 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (removal_at(cluster, middle)->sequence <= base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void changes_begin(const struct cluster *cluster, uint64_t base, struct changes_cursor *ret_cursor)
{
    uint32_t first = NODE_NONE;
    uint32_t slot = cluster->changes.tail;
    while (slot != NODE_NONE && cluster->nodes[slot].changed_sequence > base) {
        first = slot;
        slot = cluster->nodes[slot].links[NODE_LIST_CHANGES].previous;
    }
    *ret_cursor = (struct changes_cursor){.cluster = cluster, .slot = first, .removal = removal_after(cluster, base)};
}

struct changes_item changes_peek(const struct changes_cursor *cursor)
{
    const struct cluster *cluster = cursor->cluster;
    const struct node *node = cursor->slot != NODE_NONE ? &cluster->nodes[cursor->slot] : NULL;
    const struct cluster_removal *removal = NULL;
    if (cursor->removal < cluster->removal_count)
        removal = removal_at(cluster, cursor->removal);
    if (removal && (!node || removal->sequence < node->changed_sequence))
        return (struct changes_item){.kind = CHANGES_REMOVAL, .sequence = removal->sequence, .address = &removal->address};
    if (node)
        return (struct changes_item){.kind = CHANGES_NODE, .sequence = node->changed_sequence, .slot = cursor->slot};
    return (struct changes_item){.kind = CHANGES_END, .sequence = cluster->sequence};
}

void changes_next(struct changes_cursor *cursor)
{
    if (changes_peek(cursor).kind == CHANGES_REMOVAL)
        cursor->removal++;
    else if (cursor->slot != NODE_NONE)
        cursor->slot = cursor->cluster->nodes[cursor->slot].links[NODE_LIST_CHANGES].next;
}
