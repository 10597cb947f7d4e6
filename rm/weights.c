#include "rm/weights.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/check.h"
#include "rm/cluster.h"

#define WEIGHT_UNITS 1e6f
#define WEIGHT_DISPATCHER_DIVISOR 1.5f /* D10 */

const char *const weight_term_names[WEIGHT_TERMS] = {
    [WEIGHT_CPU] = "cpu",
    [WEIGHT_MEMORY] = "memory",
    [WEIGHT_DISK] = "disk",
    [WEIGHT_NIC] = "nic",
};

/* ---- the equation ---- */

static bool metadata_find(const struct wire_metadata *metadata, uint8_t count, enum wire_metadata_key key, float *ret_value)
{
    for (uint8_t i = 0; i < count; i++) {
        if (metadata[i].key != key)
            continue;
        *ret_value = metadata[i].value;
        return true;
    }
    return false;
}

static void term_set(struct weight_terms *terms, enum weight_term term, float value)
{
    terms->value[term] = value > 0 ? value : 0;
    terms->known |= (uint8_t)(1u << term);
}

void weight_terms_read(const struct wire_metadata *metadata, uint8_t count, const float factors[static WEIGHT_TERMS],
                       struct weight_terms *ret_terms)
{
    float capacity, use, capacity_2, use_2;
    *ret_terms = (struct weight_terms){.known = 0};
    if (metadata_find(metadata, count, WIRE_METADATA_CPU_CORES, &capacity) &&
        metadata_find(metadata, count, WIRE_METADATA_CPU_USE, &use))
        term_set(ret_terms, WEIGHT_CPU, factors[WEIGHT_CPU] * capacity * (1 - use));
    if (metadata_find(metadata, count, WIRE_METADATA_MEMORY_GB, &capacity) &&
        metadata_find(metadata, count, WIRE_METADATA_MEMORY_USE, &use))
        term_set(ret_terms, WEIGHT_MEMORY, factors[WEIGHT_MEMORY] * capacity * (1 - use));
    if (metadata_find(metadata, count, WIRE_METADATA_DISK_WRITE_CAPACITY, &capacity) &&
        metadata_find(metadata, count, WIRE_METADATA_DISK_WRITE, &use) &&
        metadata_find(metadata, count, WIRE_METADATA_DISK_READ_CAPACITY, &capacity_2) &&
        metadata_find(metadata, count, WIRE_METADATA_DISK_READ, &use_2))
        term_set(ret_terms, WEIGHT_DISK, factors[WEIGHT_DISK] * ((capacity - use) + (capacity_2 - use_2)));
    if (metadata_find(metadata, count, WIRE_METADATA_NIC_IN_CAPACITY, &capacity) &&
        metadata_find(metadata, count, WIRE_METADATA_NIC_IN, &use) &&
        metadata_find(metadata, count, WIRE_METADATA_NIC_OUT_CAPACITY, &capacity_2) &&
        metadata_find(metadata, count, WIRE_METADATA_NIC_OUT, &use_2))
        term_set(ret_terms, WEIGHT_NIC, factors[WEIGHT_NIC] * ((capacity - use) + (capacity_2 - use_2)));
}

bool weights_term_counts(const struct service *service, enum weight_term term)
{
    return service->weights.lacking[term] == 0 && service->weights.count > 0;
}

/* service: whose terms count; NULL: none does. */
static float node_weight(const struct node *node, const struct service *service)
{
    float weight = 0;
    bool any = false;
    if (node->admin.flags & WIRE_ADMIN_WEIGHT)
        return node->admin.weight;
    for (uint32_t term = 0; service && term < WEIGHT_TERMS; term++) {
        if (!weights_term_counts(service, (enum weight_term)term))
            continue;
        any = true;
        weight += node->weight_terms.value[term];
    }
    if (!any)
        weight = 1;
    return node->kind == WIRE_NODE_DISPATCHER ? weight / WEIGHT_DISPATCHER_DIVISOR : weight;
}

static float weight_limit(float weight)
{
    if (weight < WEIGHT_MIN)
        return 0;
    return weight < WEIGHT_MAX ? weight : WEIGHT_MAX;
}

float weights_of(const struct cluster *cluster, const struct node *node, uint8_t ordinal)
{
    return weight_limit(node_weight(node, &cluster->services.item[node->services[ordinal].service]));
}

/* ---- the index ---- */

static uint64_t units_of(float weight)
{
    return (uint64_t)(weight * WEIGHT_UNITS + 0.5f);
}

static uint32_t class_of(uint64_t units)
{
    uint32_t class = units == 0 ? 0 : 64u - (uint32_t)__builtin_clzll(units);
    return class < WEIGHT_CLASSES ? class : WEIGHT_CLASSES - 1;
}

static uint32_t class_end(const struct weight_index *index, uint32_t class)
{
    return class + 1 < WEIGHT_CLASSES ? index->first[class + 1] : index->count;
}

static void item_place(struct cluster *cluster, struct weight_index *index, uint32_t position, struct weight_item item)
{
    index->items[position] = item;
    cluster->nodes[item.slot].services[item.ordinal].weight_position = position;
}

/* There is room. Each class above gives its first place up and takes the one behind its last: WEIGHT_CLASSES moves at most. */
static void item_insert(struct cluster *cluster, struct weight_index *index, struct weight_item item)
{
    uint32_t class = class_of(item.units);
    uint32_t hole = index->count++;
    for (uint32_t above = WEIGHT_CLASSES - 1; above > class; above--) {
        uint32_t first = index->first[above]++;
        if (first != hole)
            item_place(cluster, index, hole, index->items[first]);
        hole = first;
    }
    item_place(cluster, index, hole, item);
    index->class_units[class] += item.units;
    index->units += item.units;
}

static void item_remove(struct cluster *cluster, struct weight_index *index, uint32_t position)
{
    uint64_t units = index->items[position].units;
    uint32_t class = class_of(units);
    uint32_t hole = position;
    for (uint32_t each = class; each < WEIGHT_CLASSES; each++) {
        uint32_t last = class_end(index, each) - 1;
        if (last != hole)
            item_place(cluster, index, hole, index->items[last]);
        hole = last;
        if (each > class)
            index->first[each]--;
    }
    index->count--;
    index->class_units[class] -= units;
    index->units -= units;
}

static int index_reserve(struct weight_index *index)
{
    if (index->count < index->capacity)
        return 0;
    uint32_t capacity = index->capacity ? index->capacity * 2 : 8;
    struct weight_item *items = realloc(index->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    index->items = items;
    index->capacity = capacity;
    return 0;
}

void weight_index_done(struct weight_index *index)
{
    free(index->items);
    *index = (struct weight_index){.items = NULL};
}

/* ---- nodes in it ---- */

static struct weight_index *index_of(struct cluster *cluster, const struct node *node, uint8_t ordinal)
{
    struct service *service = &cluster->services.item[node->services[ordinal].service];
    return node->standby ? &service->last : &service->weights;
}

/* From the last ones is picked when there is no examined one, and then no term counts. */
static uint64_t units_in_index(const struct cluster *cluster, const struct node *node, uint8_t ordinal)
{
    return units_of(node->standby ? weight_limit(node_weight(node, NULL)) : weights_of(cluster, node, ordinal));
}

/* `by` 1 or −1 to what the node lacks. */
static void lacking_add(struct cluster *cluster, uint32_t service, const struct weight_terms *terms, uint32_t by)
{
    struct weight_index *index = &cluster->services.item[service].weights;
    for (uint32_t term = 0; term < WEIGHT_TERMS; term++) {
        if (terms->known >> term & 1)
            continue;
        uint32_t before = index->lacking[term];
        index->lacking[term] += by;
        if ((before == 0) == (index->lacking[term] == 0))
            continue;
        index->moved = true;
        services_stale_add(&cluster->services, service);
    }
}

int weights_join(struct cluster *cluster, uint32_t slot, uint8_t ordinal)
{
    struct node *node = &cluster->nodes[slot];
    struct weight_index *index = index_of(cluster, node, ordinal);
    int error = index_reserve(index);
    if (error < 0)
        return error;
    if (!node->standby)
        lacking_add(cluster, node->services[ordinal].service, &node->weight_terms, 1);
    item_insert(cluster, index, (struct weight_item){.slot = slot, .ordinal = ordinal});
    (void)weights_refresh(cluster, slot, ordinal);
    return 0;
}

void weights_leave(struct cluster *cluster, uint32_t slot, uint8_t ordinal)
{
    struct node *node = &cluster->nodes[slot];
    item_remove(cluster, index_of(cluster, node, ordinal), node->services[ordinal].weight_position);
    if (!node->standby)
        lacking_add(cluster, node->services[ordinal].service, &node->weight_terms, UINT32_MAX);
}

bool weights_refresh(struct cluster *cluster, uint32_t slot, uint8_t ordinal)
{
    struct node *node = &cluster->nodes[slot];
    struct weight_index *index = index_of(cluster, node, ordinal);
    struct weight_item item = index->items[node->services[ordinal].weight_position];
    uint64_t units = units_in_index(cluster, node, ordinal);
    if (units == item.units)
        return false;
    if (class_of(units) == class_of(item.units)) {
        index->items[node->services[ordinal].weight_position].units = units;
        index->class_units[class_of(units)] += units - item.units;
        index->units += units - item.units;
        return true;
    }
    item_remove(cluster, index, node->services[ordinal].weight_position);
    item.units = units;
    item_insert(cluster, index, item);
    return true;
}

void weights_update(struct cluster *cluster, uint32_t slot)
{
    struct node *node = &cluster->nodes[slot];
    struct weight_terms terms;
    weight_terms_read(node->metadata, node->metadata_count, cluster->config.weight_factors, &terms);
    if (node->examined) {
        for (uint8_t i = 0; i < node->service_count && terms.known != node->weight_terms.known; i++) {
            lacking_add(cluster, node->services[i].service, &terms, 1);
            lacking_add(cluster, node->services[i].service, &node->weight_terms, UINT32_MAX);
        }
    }
    node->weight_terms = terms;
    for (uint8_t i = 0; i < node->service_count && (node->examined || node->standby); i++)
        (void)weights_refresh(cluster, slot, i);
}

/* ---- a pick (R7) ---- */

/* 0 … units − 1 */
static uint64_t units_below(struct random_state *random, uint64_t units)
{
    return (uint64_t)(((unsigned __int128)random_next(random) * units) >> 64);
}

static uint32_t class_pick(const struct weight_index *index, struct random_state *random)
{
    uint64_t left = units_below(random, index->units);
    for (uint32_t class = WEIGHT_CLASSES - 1; class > 0; class --) {
        if (left < index->class_units[class])
            return class;
        left -= index->class_units[class];
    }
    CHECK(false); /* the classes' sums are the sum */
    return 0;
}

static uint32_t index_pick(const struct weight_index *index, struct random_state *random)
{
    if (index->count == 0)
        return NODE_NONE;
    if (index->units == 0)
        return index->items[random_below(random, index->count)].slot;
    uint32_t class = class_pick(index, random);
    uint32_t first = index->first[class];
    uint32_t count = class_end(index, class) - first;
    /* Weights of a class differ by less than 2, so half of the draws are taken at least. */
    for (;;) {
        const struct weight_item *item = &index->items[first + random_below(random, count)];
        if ((random_next(random) >> (64 - class)) < item->units)
            return item->slot;
    }
}

uint32_t weights_pick(const struct service *service, struct random_state *random)
{
    return index_pick(&service->weights, random);
}

uint32_t weights_pick_last(const struct service *service, struct random_state *random)
{
    return index_pick(&service->last, random);
}
