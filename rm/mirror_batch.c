#include "rm/mirror_batch.h"

#include <stdio.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "rm/mirror_text.h"

/* What of the node is to be written. KNOWN: rm has heard its name, or an operator's word, but no heartbeat. */
static uint8_t node_take(struct cluster *cluster, struct node *node, uint64_t metadata_interval_ns, bool metadata_afford,
                         uint64_t now_ns)
{
    uint32_t commands = 0;
    bool metadata = node->metadata_dirty || now_ns - node->mirrored_ns >= metadata_interval_ns;
    /* A fresh node comes again with its next heartbeat. */
    if (node->state == NODE_FRESH && !metadata_afford)
        metadata = false;
    if (node->state == NODE_FRESH) {
        commands |= 1u << MIRROR_BEATS_ADD | 1u << MIRROR_LOADS_ADD;
        /* Also now and then though we have not called it faulty: another rm may have, whom the node does not reach. */
        if (node->fault_mirrored || metadata)
            commands |= 1u << MIRROR_FAULTS_REMOVE;
        node->fault_mirrored = false;
    } else if (node->state != NODE_REGISTERED) {
        commands |= 1u << MIRROR_LOADS_REMOVE | 1u << MIRROR_FAULTS_ADD;
        node->fault_mirrored = true;
    }
    if (metadata && node->state != NODE_REGISTERED) {
        commands |= 1u << MIRROR_NODES_SET;
        node->metadata_dirty = false;
        node->mirrored_ns = now_ns;
    }
    cluster->put_off_count -= node->put_off;
    node->put_off = node->state == NODE_FRESH && node->metadata_dirty;
    cluster->put_off_count += node->put_off;
    if (node->admin_dirty) {
        commands |= 1u << MIRROR_ADMIN_SET;
        node->word_reading = cluster->word_reading; /* what is being read may have passed by its place already */
    }
    node->admin_dirty = false;
    node->dirty = false;
    return (uint8_t)commands;
}

void mirror_batch_take(struct cluster *cluster, uint16_t region, int64_t clock_offset_ms, uint64_t now_ns, uint32_t limit,
                       uint32_t metadata_max, struct mirror_batch *ret_batch)
{
    struct mirror_batch *batch = ret_batch;
    uint64_t interval_ns = cluster->node_count * MIRROR_METADATA_NODE_NS;
    if (interval_ns < MIRROR_METADATA_INTERVAL_NS)
        interval_ns = MIRROR_METADATA_INTERVAL_NS;
    batch->cluster = cluster;
    batch->region = region;
    batch->clock_offset_ms = clock_offset_ms;
    batch->now_ns = now_ns;
    batch->count = 0;
    batch->metadata_count = 0;
    while (batch->count < MIRROR_BATCH_NODES && batch->count < limit && cluster->dirty.head != NODE_NONE) {
        uint32_t slot = cluster->dirty.head;
        node_list_remove(&cluster->dirty, cluster->nodes, slot, NODE_LIST_DIRTY);
        batch->slot[batch->count] = slot;
        uint8_t commands = node_take(cluster, &cluster->nodes[slot], interval_ns, batch->metadata_count < metadata_max, now_ns);
        batch->metadata_count += commands >> MIRROR_NODES_SET & 1;
        batch->commands[batch->count++] = commands;
    }
}

void mirror_batch_put_loads_off(struct cluster *cluster, struct mirror_batch *batch, struct mirror_order *loads)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!(batch->commands[i] & 1u << MIRROR_LOADS_ADD))
            continue;
        struct node *node = &cluster->nodes[batch->slot[i]];
        if (mirror_order_put(loads, batch->slot[i], node->load_index, &node->load_place) == 0)
            batch->commands[i] &= (uint8_t) ~(1u << MIRROR_LOADS_ADD);
    }
}

void mirror_batch_take_loads(const struct cluster *cluster, uint16_t region, struct mirror_order *loads,
                             struct mirror_batch *ret_batch)
{
    struct mirror_batch *batch = ret_batch;
    batch->cluster = cluster;
    batch->region = region;
    batch->count = mirror_order_next(loads, MIRROR_BATCH_NODES, batch->slot);
    for (uint32_t i = 0; i < batch->count; i++)
        batch->commands[i] = cluster->nodes[batch->slot[i]].state == NODE_FRESH ? 1u << MIRROR_LOADS_ADD : 0;
}

static int64_t redis_ms(const struct mirror_batch *batch, uint64_t at_ns)
{
    return batch->clock_offset_ms + (int64_t)(at_ns / NS_PER_MS);
}

static void node_text_add(const struct mirror_batch *batch, const struct node *node, enum mirror_command kind,
                          struct redis_command *command)
{
    struct buffer text = {.length = 0};
    int error = kind == MIRROR_NODES_SET ? mirror_node_print(batch->cluster, node, &text) : mirror_admin_print(node, &text);
    redis_command_add_bytes(command, text.bytes ? (const char *)text.bytes : "", text.length);
    if (error < 0)
        command->error = error;
    buffer_done(&text);
}

static void member_add(const struct mirror_batch *batch, const struct node *node, enum mirror_command kind,
                       struct redis_command *command)
{
    char address[ADDRESS_TEXT_BYTES];
    address_format(&node->address, address);
    if (kind == MIRROR_BEATS_ADD)
        redis_command_add_number(command, redis_ms(batch, node->arrival_ns));
    else if (kind == MIRROR_LOADS_ADD)
        redis_command_add_millionths(command, load_units(node->load_index));
    else if (kind == MIRROR_FAULTS_ADD)
        redis_command_add_number(command, redis_ms(batch, node->expired_ns));
    redis_command_add(command, address);
    if (kind == MIRROR_NODES_SET || kind == MIRROR_ADMIN_SET)
        node_text_add(batch, node, kind, command);
}

bool mirror_batch_command(const struct mirror_batch *batch, enum mirror_command kind, struct redis_command *command)
{
    static const struct {
        const char *name;
        enum redis_key key;
    } rows[MIRROR_COMMANDS] = {
        [MIRROR_BEATS_ADD] = {"ZADD", REDIS_KEY_BEATS},      [MIRROR_LOADS_ADD] = {"ZADD", REDIS_KEY_LOADS},
        [MIRROR_LOADS_REMOVE] = {"ZREM", REDIS_KEY_LOADS},   [MIRROR_FAULTS_ADD] = {"ZADD", REDIS_KEY_FAULTS},
        [MIRROR_FAULTS_REMOVE] = {"ZREM", REDIS_KEY_FAULTS}, [MIRROR_NODES_SET] = {"HSET", REDIS_KEY_NODES},
        [MIRROR_ADMIN_SET] = {"HSET", REDIS_KEY_ADMIN},
    };
    char key[REDIS_KEY_BYTES];
    bool any = false;
    redis_command_begin(command, rows[kind].name);
    redis_command_add(command, redis_key_format(rows[kind].key, batch->region, key));
    if (kind == MIRROR_FAULTS_ADD)
        redis_command_add(command, "NX"); /* since when: whoever noticed first */
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!(batch->commands[i] & 1u << kind))
            continue;
        any = true;
        member_add(batch, &batch->cluster->nodes[batch->slot[i]], kind, command);
    }
    return any;
}

void mirror_expiry_bound(int64_t redis_now_ms, uint64_t valid_ms, char bound[static MIRROR_SCORE_BYTES])
{
    snprintf(bound, MIRROR_SCORE_BYTES, "(%lld", (long long)(redis_now_ms - (int64_t)valid_ms));
}

static void beats_command(uint16_t region, const char *name, const char *bound, struct redis_command *command)
{
    char key[REDIS_KEY_BYTES];
    redis_command_begin(command, name);
    redis_command_add(command, redis_key_format(REDIS_KEY_BEATS, region, key));
    redis_command_add(command, "-inf");
    redis_command_add(command, bound);
}

void mirror_beats_look(uint16_t region, const char *bound, struct redis_command *command)
{
    beats_command(region, "ZRANGEBYSCORE", bound, command);
    redis_command_add(command, "WITHSCORES");
    redis_command_add(command, "LIMIT");
    redis_command_add_number(command, MIRROR_EXPIRE_NODES - 1);
    redis_command_add_number(command, 1);
}

void mirror_beats_expire(uint16_t region, const char *bound, struct redis_command *command)
{
    beats_command(region, "ZREMRANGEBYSCORE", bound, command);
}
